// Verifies a webhook that is signed by a key pair. Usage: v1a PUBLIC_KEY ID TIMESTAMP SIGNATURE < body
package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// How old a request may be, or how far ahead of our clock.
const tolerance = 5 * time.Minute

// Verify tells whether body (the raw bytes, before any parsing) was sent by who has the private key.
func Verify(publicKey, id, timestamp, signature string, body []byte) bool {
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > tolerance {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(publicKey, "whpk_"))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return false
	}
	content := append([]byte(id+"."+timestamp+"."), body...)
	// While keys are rotated there is one signature for each; any of them will do.
	for _, entry := range strings.Split(signature, " ") {
		version, value, _ := strings.Cut(entry, ",")
		given, err := base64.StdEncoding.DecodeString(value)
		if version == "v1a" && err == nil && ed25519.Verify(key, content, given) {
			return true
		}
	}
	return false
}

func main() {
	body, err := io.ReadAll(os.Stdin)
	if err != nil || len(os.Args) != 5 || !Verify(os.Args[1], os.Args[2], os.Args[3], os.Args[4], body) {
		os.Exit(1)
	}
}

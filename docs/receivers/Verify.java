import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.util.Base64;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;

/** Verifies a webhook. Usage: java Verify SECRET ID TIMESTAMP SIGNATURE < body */
public final class Verify {
    /** Seconds that a request may be old, or ahead of our clock. */
    private static final long TOLERANCE = 5 * 60;

    /** Whether {@code body} (the raw bytes, before any parsing) was sent by who knows the secret. */
    static boolean verify(String secret, String id, String timestamp, String signature, byte[] body)
            throws GeneralSecurityException {
        byte[] expected;
        try {
            long sentAt = Long.parseLong(timestamp);
            long now = Instant.now().getEpochSecond();
            if (sentAt < now - TOLERANCE || sentAt > now + TOLERANCE) {
                return false;
            }
            byte[] key = Base64.getDecoder().decode(secret.replaceFirst("^whsec_", ""));
            Mac mac = Mac.getInstance("HmacSHA256");
            mac.init(new SecretKeySpec(key, "HmacSHA256"));
            mac.update((id + "." + timestamp + ".").getBytes(StandardCharsets.UTF_8));
            expected = Base64.getEncoder().encode(mac.doFinal(body));
        } catch (IllegalArgumentException malformed) {
            return false;
        }
        // While secrets are rotated there is one signature for each; any of them will do.
        for (String entry : signature.split(" ")) {
            if (entry.startsWith("v1,")) {
                byte[] given = entry.substring(3).getBytes(StandardCharsets.UTF_8);
                if (MessageDigest.isEqual(given, expected)) {
                    return true;
                }
            }
        }
        return false;
    }

    public static void main(String[] args) throws IOException, GeneralSecurityException {
        byte[] body = System.in.readAllBytes();
        System.exit(verify(args[0], args[1], args[2], args[3], body) ? 0 : 1);
    }
}

// A hand-written consumer: polls, posts every record's value to a URL with its event's id as webhook-id,
// so many at once, waits for all of the poll, and commits once a second. Nothing is signed, joined or tried
// again. Argument: requests at once. BOOTSTRAP_SERVERS, TOPIC, GROUP and URL are in the environment.
package main

import (
	"bytes"
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const mostRecords = 10_000

func main() {
	atOnce, err := strconv.Atoi(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	consumer, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("BOOTSTRAP_SERVERS"), ",")...),
		kgo.ConsumeTopics(os.Getenv("TOPIC")),
		kgo.ConsumerGroup(os.Getenv("GROUP")),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConns:        atOnce,
		MaxIdleConnsPerHost: atOnce,
		DisableCompression:  true,
	}}
	url := os.Getenv("URL")
	records := make(chan *kgo.Record, atOnce)
	var open sync.WaitGroup
	for range atOnce {
		go func() {
			for record := range records {
				post(client, url, record.Value)
				open.Done()
			}
		}()
	}
	background := context.Background()
	committed := time.Now()
	for {
		// Wakes once a second at the latest, to commit.
		limited, cancel := context.WithTimeout(background, time.Second)
		fetches := consumer.PollRecords(limited, mostRecords)
		cancel()
		fetches.EachRecord(func(record *kgo.Record) {
			open.Add(1)
			records <- record
		})
		open.Wait()
		if time.Since(committed) >= time.Second {
			if err := consumer.CommitUncommittedOffsets(background); err != nil {
				log.Print(err)
			}
			committed = time.Now()
		}
	}
}

func post(client *http.Client, url string, value []byte) {
	request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(value))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("content-type", "application/json")
	request.Header.Set("webhook-id", id(value))
	response, err := client.Do(request)
	if err != nil {
		log.Print(err)
		return
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
}

// The text of the first member id, whose values need no escapes here.
func id(event []byte) string {
	_, rest, _ := bytes.Cut(event, []byte(`"id":"`))
	text, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(text)
}

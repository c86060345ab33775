// Sends annotations and evaluations with franz-go. BROKER is the address of Kafka.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

type annotation struct {
	// Where your tool has an id for the event, use it: then sending again is a repeat, which counts once.
	ID string `json:"id"`
	// When the person rated: the latest rating counts, in any order of arrival.
	At        time.Time `json:"at"`
	Queue     string    `json:"queue"`
	Item      string    `json:"item"`
	Criterion string    `json:"criterion"`
	Annotator string    `json:"annotator"`
	Thumbs    string    `json:"thumbs"`
}

type evaluation struct {
	ID        string    `json:"id"`
	At        time.Time `json:"at"`
	Item      string    `json:"item"`
	Metric    string    `json:"metric"`
	Judge     string    `json:"judge"`
	Score     float64   `json:"score"`
	Threshold float64   `json:"threshold"`
}

func main() {
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(cmp.Or(os.Getenv("BROKER"), "127.0.0.1:9092"), ",")...),
		// The client's defaults are an idempotent producer and acks of all in-sync replicas.
		kgo.RequiredAcks(kgo.AllISRAcks()),
		// The nil hasher is Kafka's murmur2 of the key.
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
		// An event that cannot be delivered fails after 30 s. By default the client retries without an end.
		kgo.RecordDeliveryTimeout(30*time.Second),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	var records []*kgo.Record
	add := func(topic, item string, event any) {
		value, err := json.Marshal(event)
		if err != nil {
			log.Fatal(err)
		}
		records = append(records, &kgo.Record{Topic: topic, Key: []byte(item), Value: value})
	}
	// 50 items that a person rated and a metric scored.
	for number := range 50 {
		item := fmt.Sprintf("go-zürich-%d", number)
		thumbs, score := "up", 0.9
		if number%5 == 0 {
			thumbs = "down"
		}
		if number%4 == 0 {
			score = 0.4
		}
		now := time.Now().UTC()
		add("alignment.annotations.v1", item, annotation{
			ID:        rand.Text(),
			At:        now,
			Queue:     "Example Go",
			Item:      item,
			Criterion: "helpfulness",
			Annotator: "ann",
			Thumbs:    thumbs,
		})
		add("alignment.evaluations.v1", item, evaluation{
			ID:        rand.Text(),
			At:        now,
			Item:      item,
			Metric:    "answer_relevancy",
			Judge:     "gpt-4o/p3",
			Score:     score,
			Threshold: 0.7,
		})
	}

	// Returns when each record is acknowledged or has failed.
	if err := client.ProduceSync(context.Background(), records...).FirstErr(); err != nil {
		log.Fatalf("not delivered: %v", err)
	}
	fmt.Printf("%d events acknowledged\n", len(records))
}

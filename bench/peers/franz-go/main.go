// The same work as bench/kafka/work.ts with franz-go, the client that Redpanda Connect uses, and generic JSON as a tool without
// types must read it. Prints {"read","wallMs","cpuMs","rssMb"}.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

func work(value []byte) ([]byte, bool) {
	var order map[string]any
	if err := json.Unmarshal(value, &order); err != nil {
		panic(err)
	}
	total := order["total"].(float64)
	order["usd"] = total * 1.08
	if total < 50 {
		return nil, false
	}
	out, err := json.Marshal(map[string]any{
		"id": order["id"], "customer": order["customer"], "eur": total, "usd": order["usd"],
		"country": order["country"], "lines": len(order["items"].([]any)),
	})
	if err != nil {
		panic(err)
	}
	return out, true
}

func main() {
	brokers, from, to, group := strings.Split(os.Args[1], ","), os.Args[2], os.Args[3], os.Args[4]
	count, err := strconv.ParseInt(os.Args[5], 10, 64)
	if err != nil {
		panic(err)
	}
	begin := time.Now()
	ctx := context.Background()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(brokers...), kgo.ConsumerGroup(group), kgo.ConsumeTopics(from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic(to),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.DisableAutoCommit(), kgo.MaxBufferedRecords(100_000),
	)
	if err != nil {
		panic(err)
	}
	var read, failed int64
	for read < count {
		fetches := client.PollFetches(ctx)
		for _, e := range fetches.Errors() {
			panic(e.Err)
		}
		fetches.EachRecord(func(record *kgo.Record) {
			read++
			if out, ok := work(record.Value); ok {
				client.Produce(ctx, &kgo.Record{Value: out, Timestamp: record.Timestamp}, func(_ *kgo.Record, err error) {
					if err != nil {
						atomic.AddInt64(&failed, 1)
					}
				})
			}
		})
		if err := client.Flush(ctx); err != nil {
			panic(err)
		}
		if err := client.CommitUncommittedOffsets(ctx); err != nil {
			panic(err)
		}
	}
	client.Close()
	if failed > 0 {
		panic(fmt.Sprint(failed, " records failed"))
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	cpu := float64(usage.Utime.Nano()+usage.Stime.Nano()) / 1e6
	fmt.Printf(`{"read":%d,"wallMs":%f,"cpuMs":%f,"rssMb":%f}`, read, float64(time.Since(begin).Microseconds())/1e3, cpu, float64(usage.Maxrss)/1e3)
}

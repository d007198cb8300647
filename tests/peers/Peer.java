import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.CommitMode;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import io.confluent.parallelconsumer.vertx.VertxParallelStreamProcessor;
import io.vertx.core.Vertx;
import io.vertx.core.VertxOptions;
import io.vertx.core.buffer.Buffer;
import io.vertx.ext.web.client.WebClient;
import io.vertx.ext.web.client.WebClientOptions;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CompletableFuture;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;

/**
 * Posts every record of a topic to a URL, with its event's id as {@code webhook-id}, as people do it
 * without Hooktide. Arguments: how ({@code loop}, {@code core}, {@code vertx}), bootstrap servers, topic,
 * group, URL. Nothing is tried again: the receiver of the test answers every request.
 */
public class Peer {
    /** Requests at once, as the subscription of the test has it. */
    private static final int AT_ONCE = 64;

    private static final Duration COMMIT = Duration.ofSeconds(1);

    public static void main(String[] arguments) throws Exception {
        String how = arguments[0];
        Properties settings = new Properties();
        settings.put("bootstrap.servers", arguments[1]);
        settings.put("group.id", arguments[3]);
        // It comes back under its name, so its partitions wait for it.
        settings.put("group.instance.id", "a");
        settings.put("session.timeout.ms", "10000");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("max.poll.records", "500");
        settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings);
        List<String> topics = List.of(arguments[2]);
        URI url = URI.create(arguments[4]);
        switch (how) {
            case "loop" -> loop(consumer, topics, url);
            case "core" -> core(consumer, topics, url);
            case "vertx" -> vertx(consumer, topics, url);
            default -> throw new IllegalArgumentException(how);
        }
    }

    /** Poll, post all, wait for all, commit once a second. */
    private static void loop(KafkaConsumer<String, String> consumer, List<String> topics, URI url) {
        HttpClient client = client();
        consumer.subscribe(topics);
        long committed = System.nanoTime();
        while (true) {
            ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
            List<CompletableFuture<?>> open = new ArrayList<>();
            for (ConsumerRecord<String, String> record : records) {
                open.add(client.sendAsync(request(url, record.value()), BodyHandlers.discarding()));
                if (open.size() == AT_ONCE) {
                    CompletableFuture.allOf(open.toArray(CompletableFuture[]::new)).join();
                    open.clear();
                }
            }
            CompletableFuture.allOf(open.toArray(CompletableFuture[]::new)).join();
            if (System.nanoTime() - committed >= COMMIT.toNanos()) {
                consumer.commitSync();
                committed = System.nanoTime();
            }
        }
    }

    private static void core(KafkaConsumer<String, String> consumer, List<String> topics, URI url) {
        HttpClient client = client();
        ParallelStreamProcessor<String, String> processor =
                ParallelStreamProcessor.createEosStreamProcessor(options(consumer));
        processor.subscribe(topics);
        processor.poll(context -> {
            try {
                client.send(request(url, context.value()), BodyHandlers.discarding());
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        });
    }

    private static void vertx(KafkaConsumer<String, String> consumer, List<String> topics, URI url) {
        Vertx vertx = Vertx.vertx(new VertxOptions());
        WebClient client = WebClient.create(vertx, new WebClientOptions().setMaxPoolSize(AT_ONCE));
        VertxParallelStreamProcessor<String, String> processor =
                VertxParallelStreamProcessor.createEosStreamProcessor(options(consumer));
        processor.subscribe(topics);
        processor.vertxFuture(context -> client.postAbs(url.toString())
                .putHeader("webhook-id", id(context.value()))
                .putHeader("content-type", "application/json")
                .sendBuffer(Buffer.buffer(context.value())));
    }

    private static ParallelConsumerOptions<String, String> options(KafkaConsumer<String, String> consumer) {
        return ParallelConsumerOptions.<String, String>builder()
                .consumer(consumer)
                .ordering(ProcessingOrder.UNORDERED)
                .maxConcurrency(AT_ONCE)
                .commitMode(CommitMode.PERIODIC_CONSUMER_SYNC)
                .commitInterval(COMMIT)
                .build();
    }

    private static HttpClient client() {
        return HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    }

    private static HttpRequest request(URI url, String value) {
        return HttpRequest.newBuilder(url)
                .header("webhook-id", id(value))
                .header("content-type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(value))
                .build();
    }

    /** The text of the first member {@code id}, whose values need no escapes here. */
    private static String id(String event) {
        int start = event.indexOf("\"id\":\"") + 6;
        return event.substring(start, event.indexOf('"', start));
    }
}

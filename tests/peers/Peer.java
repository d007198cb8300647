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
 * without Hooktide. Arguments: how ({@code loop}, {@code core}, {@code vertx}); requests at once; {@code key}
 * for Parallel Consumer's order by key and its other settings as they come, each key having a URL of its
 * own. BOOTSTRAP_SERVERS, TOPIC, GROUP and URL are in the environment. Nothing is tried again: the
 * receivers of the tests answer every request.
 */
public class Peer {
    private static final Duration COMMIT = Duration.ofSeconds(1);

    public static void main(String[] arguments) throws Exception {
        String how = arguments[0];
        int atOnce = Integer.parseInt(arguments[1]);
        boolean byKey = arguments.length > 2 && arguments[2].equals("key");
        Properties settings = new Properties();
        settings.put("bootstrap.servers", System.getenv("BOOTSTRAP_SERVERS"));
        settings.put("group.id", System.getenv("GROUP"));
        // It comes back under its name, so its partitions wait for it.
        settings.put("group.instance.id", "a");
        settings.put("session.timeout.ms", "10000");
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        settings.put("max.poll.records", "500");
        settings.put("key.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        settings.put("value.deserializer", "org.apache.kafka.common.serialization.StringDeserializer");
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(settings);
        List<String> topics = List.of(System.getenv("TOPIC"));
        Target target = new Target(System.getenv("URL"), byKey);
        switch (how) {
            case "loop" -> loop(consumer, topics, target, atOnce);
            case "core" -> core(options(consumer, atOnce, byKey), topics, target);
            case "vertx" -> vertx(options(consumer, atOnce, byKey), topics, target, atOnce);
            default -> throw new IllegalArgumentException(how);
        }
    }

    /** Where records go. */
    private record Target(String url, boolean byKey) {
        URI of(String key) {
            return URI.create(byKey ? url + key : url);
        }
    }

    /** Poll, post all, wait for all, commit once a second. */
    private static void loop(
            KafkaConsumer<String, String> consumer, List<String> topics, Target target, int atOnce) {
        HttpClient client = client();
        consumer.subscribe(topics);
        long committed = System.nanoTime();
        while (true) {
            ConsumerRecords<String, String> records = consumer.poll(Duration.ofMillis(100));
            List<CompletableFuture<?>> open = new ArrayList<>();
            for (ConsumerRecord<String, String> record : records) {
                open.add(client.sendAsync(request(target, record), BodyHandlers.discarding()));
                if (open.size() == atOnce) {
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

    private static void core(
            ParallelConsumerOptions<String, String> options, List<String> topics, Target target) {
        HttpClient client = client();
        ParallelStreamProcessor<String, String> processor =
                ParallelStreamProcessor.createEosStreamProcessor(options);
        processor.subscribe(topics);
        processor.poll(context -> {
            try {
                client.send(request(target, context.getSingleConsumerRecord()), BodyHandlers.discarding());
            } catch (Exception error) {
                throw new RuntimeException(error);
            }
        });
    }

    private static void vertx(
            ParallelConsumerOptions<String, String> options, List<String> topics, Target target, int atOnce) {
        Vertx vertx = Vertx.vertx(new VertxOptions());
        WebClient client = WebClient.create(vertx, new WebClientOptions().setMaxPoolSize(atOnce));
        VertxParallelStreamProcessor<String, String> processor =
                VertxParallelStreamProcessor.createEosStreamProcessor(options);
        processor.subscribe(topics);
        processor.vertxFuture(context -> client.postAbs(target.of(context.key()).toString())
                .putHeader("webhook-id", id(context.value()))
                .putHeader("content-type", "application/json")
                .sendBuffer(Buffer.buffer(context.value())));
    }

    private static ParallelConsumerOptions<String, String> options(
            KafkaConsumer<String, String> consumer, int atOnce, boolean byKey) {
        var options = ParallelConsumerOptions.<String, String>builder().consumer(consumer);
        if (byKey) {
            return options.ordering(ProcessingOrder.KEY).build();
        }
        return options.ordering(ProcessingOrder.UNORDERED)
                .maxConcurrency(atOnce)
                .commitMode(CommitMode.PERIODIC_CONSUMER_SYNC)
                .commitInterval(COMMIT)
                .build();
    }

    private static HttpClient client() {
        return HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    }

    private static HttpRequest request(Target target, ConsumerRecord<String, String> record) {
        String value = record.value();
        return HttpRequest.newBuilder(target.of(record.key()))
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

import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.state.KeyValueBytesStoreSupplier;
import org.apache.kafka.streams.state.Stores;

/**
 * The job of the peers on the Processor API of Kafka Streams.
 *
 * <p>Two stores with their changelogs: "items" has one row per item, "tallies" the absolute counts per group. {@link
 * Join} works on objects on the heap and writes what changed once per commit.
 *
 * <p>Options, from its tuning guides: commits every second at least once, with counts every 50 ms (exactly_once_v2
 * keeps its default of 100 ms, and counts are committed with it); 10,000 records a poll; no waiting for the other topic
 * (the join does not depend on the order); producer batches of 512 KB with linger 50 ms and lz4; static membership.
 */
public final class Job {
  private static final Duration COUNTS_EVERY = Duration.ofMillis(50);

  private Job() {}

  /** Arguments: brokers, topic of annotations, topic of evaluations, application, guarantee, memory or rocksdb, directory. */
  public static void main(String[] arguments) throws InterruptedException {
    String guarantee = arguments[4];
    boolean atLeastOnce = guarantee.equals(StreamsConfig.AT_LEAST_ONCE);
    boolean inMemory = arguments[5].equals("memory");

    Properties set = new Properties();
    set.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
    set.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    set.put(StreamsConfig.STATE_DIR_CONFIG, arguments[6]);
    set.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    set.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
    if (atLeastOnce) {
      set.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    }
    set.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    set.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 5000);
    set.put(StreamsConfig.MAX_TASK_IDLE_MS_CONFIG, StreamsConfig.MAX_TASK_IDLE_MS_DISABLED);
    set.put(StreamsConfig.ROCKSDB_CONFIG_SETTER_CLASS_CONFIG, SharedMemory.class);
    set.put(StreamsConfig.ENABLE_METRICS_PUSH_CONFIG, false);
    set.put(StreamsConfig.mainConsumerPrefix(ConsumerConfig.GROUP_INSTANCE_ID_CONFIG), "peer");
    set.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    set.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
    set.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 50);
    set.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 512 << 10);
    set.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG), 64 << 20);
    set.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");

    KafkaStreams streams = new KafkaStreams(topology(arguments[1], arguments[2], inMemory, atLeastOnce), set);
    CountDownLatch ended = new CountDownLatch(1);
    streams.setUncaughtExceptionHandler(
        error -> {
          error.printStackTrace();
          return StreamThreadExceptionResponse.SHUTDOWN_CLIENT;
        });
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  streams.close();
                  ended.countDown();
                }));
    streams.start();
    ended.await();
  }

  private static Topology topology(String annotations, String evaluations, boolean inMemory, boolean atLeastOnce) {
    Serde<String> text = Serdes.String();
    Serde<byte[]> bytes = Serdes.ByteArray();
    EventDeserializer events = new EventDeserializer();
    Topology topology = new Topology();
    topology.addSource("annotations", bytes.deserializer(), events, annotations);
    topology.addSource("evaluations", bytes.deserializer(), events, evaluations);
    topology.addProcessor("join", () -> new Join(atLeastOnce ? COUNTS_EVERY : null), "annotations", "evaluations");
    for (String name : new String[] {Join.ITEMS, Join.TALLIES}) {
      KeyValueBytesStoreSupplier store =
          inMemory ? Stores.inMemoryKeyValueStore(name) : Stores.persistentKeyValueStore(name);
      topology.addStateStore(Stores.keyValueStoreBuilder(store, text, bytes).withCachingDisabled(), "join");
    }
    topology.addStateStore(new BeforeCommit.Builder(), "join");
    return topology;
  }
}

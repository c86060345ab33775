import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/**
 * The job of the peers on the Processor API of Kafka Streams.
 *
 * <p>Two stores in memory with their changelogs. "rows" has one small row per identity, so that the changelog gets what
 * changed and not a whole item. The items are cached as objects on the heap, and built from the rows of an item when it
 * is not cached. "tallies" has the absolute counts per group, and the record cache in front of it
 * writes a group that changed many times once per commit.
 *
 * <p>Options, from its tuning guides: commits every second at least once (exactly_once_v2 keeps its default of 100 ms),
 * 128 MB of record cache, 10,000 records a poll, producer batches of 512 KB with linger 50 ms and lz4, JSON by
 * Jackson's streaming parser with interned field names.
 */
public final class Job {

  /** Either kind of event; the other's fields are null. */
  static final class Event {
    long at;
    String id;
    String item;
    String queue;
    String criterion;
    String annotator;
    int stars;
    String metric;
    double score;
    double threshold;
  }

  static final class Json implements Deserializer<Event> {
    private static final JsonFactory FACTORY = new JsonFactory();
    /** Names come again and again: one object each. */
    private final Map<String, String> names = new HashMap<>();

    @Override
    public Event deserialize(String topic, byte[] data) {
      Event event = new Event();
      try (JsonParser parser = FACTORY.createParser(data)) {
        parser.nextToken();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
          String field = parser.currentName();
          parser.nextToken();
          switch (field) {
            case "at" -> event.at = parser.getLongValue();
            case "id" -> event.id = parser.getText();
            case "item" -> event.item = parser.getText();
            case "queue" -> event.queue = name(parser);
            case "criterion" -> event.criterion = name(parser);
            case "annotator" -> event.annotator = name(parser);
            case "stars" -> event.stars = parser.getIntValue();
            case "metric" -> event.metric = name(parser);
            case "score" -> event.score = parser.getDoubleValue();
            case "threshold" -> event.threshold = parser.getDoubleValue();
            default -> parser.skipChildren();
          }
        }
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
      return event;
    }

    private String name(JsonParser parser) throws IOException {
      String text = parser.getText();
      String known = names.putIfAbsent(text, text);
      return known == null ? text : known;
    }
  }

  record Said(long at, String id, String queue, String criterion, long day, boolean passed) {
    boolean olderThan(Event event) {
      return at < event.at || at == event.at && id.compareTo(event.id) < 0;
    }
  }

  record Judged(long at, String id, boolean passed) {
    boolean olderThan(Event event) {
      return at < event.at || at == event.at && id.compareTo(event.id) < 0;
    }
  }

  record Identity(String queue, String criterion, String annotator) {}

  static final class Item {
    final Map<Identity, Said> said = new HashMap<>();
    final Map<String, Judged> judged = new HashMap<>();
  }

  record Group(String queue, String criterion, String metric, long day) {}

  static final class Join implements Processor<byte[], Event, Void, Void> {
    private final Map<String, Item> items = new HashMap<>();
    private final Map<Group, String> keys = new HashMap<>();
    private KeyValueStore<String, byte[]> rows;
    private KeyValueStore<String, byte[]> tallies;

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      // After an aborted transaction the stores are made again, and with them the objects.
      items.clear();
      rows = context.getStateStore("rows");
      tallies = context.getStateStore("tallies");
    }

    @Override
    public void process(Record<byte[], Event> record) {
      Event event = record.value();
      Item item = items.computeIfAbsent(event.item, this::load);
      if (event.metric == null) {
        annotate(item, event);
      } else {
        evaluate(item, event);
      }
    }

    private void annotate(Item item, Event event) {
      Identity identity = new Identity(event.queue, event.criterion, event.annotator);
      Said old = item.said.get(identity);
      if (old != null) {
        if (!old.olderThan(event)) {
          return;
        }
        item.judged.forEach((metric, judged) -> count(old, metric, judged, -1));
      }
      Said said =
          new Said(event.at, event.id, event.queue, event.criterion, event.at / 86_400_000L, event.stars >= 3);
      item.said.put(identity, said);
      item.judged.forEach((metric, judged) -> count(said, metric, judged, 1));
      rows.put(
          event.item + "\0a\0" + event.queue + "\0" + event.criterion + "\0" + event.annotator,
          row(event, said.passed));
    }

    private void evaluate(Item item, Event event) {
      Judged old = item.judged.get(event.metric);
      if (old != null) {
        if (!old.olderThan(event)) {
          return;
        }
        item.said.values().forEach(said -> count(said, event.metric, old, -1));
      }
      Judged judged = new Judged(event.at, event.id, event.score >= event.threshold);
      item.judged.put(event.metric, judged);
      item.said.values().forEach(said -> count(said, event.metric, judged, 1));
      rows.put(event.item + "\0e\0" + event.metric, row(event, judged.passed));
    }

    private void count(Said said, String metric, Judged judged, int sign) {
      Group group = new Group(said.queue, said.criterion, metric, said.day);
      String key = keys.computeIfAbsent(group, Join::key);
      byte[] stored = tallies.get(key);
      byte[] cell = stored == null ? new byte[32] : stored.clone();
      int at = 8 * ((said.passed ? 2 : 0) + (judged.passed ? 1 : 0));
      ByteBuffer counts = ByteBuffer.wrap(cell);
      counts.putLong(at, counts.getLong(at) + sign);
      tallies.put(key, cell);
    }

    private static String key(Group group) {
      return group.queue + "\0" + group.criterion + "\0" + group.metric + "\0" + group.day;
    }

    private static byte[] row(Event event, boolean passed) {
      byte[] id = event.id.getBytes(StandardCharsets.UTF_8);
      return ByteBuffer.allocate(9 + id.length).putLong(event.at).put((byte) (passed ? 1 : 0)).put(id).array();
    }

    /** An item that is not on the heap: after a restart its rows are in the store. */
    private Item load(String name) {
      Item item = new Item();
      try (KeyValueIterator<String, byte[]> found = rows.range(name + "\0", name + "\1")) {
        while (found.hasNext()) {
          KeyValue<String, byte[]> entry = found.next();
          String[] parts = entry.key.split("\0", -1);
          ByteBuffer row = ByteBuffer.wrap(entry.value);
          long at = row.getLong();
          boolean passed = row.get() == 1;
          String id = new String(entry.value, 9, entry.value.length - 9, StandardCharsets.UTF_8);
          if (parts[1].equals("a")) {
            Said said = new Said(at, id, parts[2], parts[3], at / 86_400_000L, passed);
            item.said.put(new Identity(parts[2], parts[3], parts[4]), said);
          } else {
            item.judged.put(parts[2], new Judged(at, id, passed));
          }
        }
      }
      return item;
    }
  }

  public static void main(String[] arguments) throws InterruptedException {
    String guarantee = arguments[4];
    Serde<String> text = Serdes.String();
    Serde<byte[]> bytes = Serdes.ByteArray();
    Topology topology = new Topology();
    topology.addSource("annotations", bytes.deserializer(), new Json(), arguments[1]);
    topology.addSource("evaluations", bytes.deserializer(), new Json(), arguments[2]);
    topology.addProcessor("join", Join::new, "annotations", "evaluations");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("rows"), text, bytes).withCachingDisabled(), "join");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("tallies"), text, bytes).withCachingEnabled(), "join");

    Properties set = new Properties();
    set.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[3]);
    set.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
    set.put(StreamsConfig.STATE_DIR_CONFIG, arguments[5]);
    set.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    set.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, guarantee);
    if (guarantee.equals(StreamsConfig.AT_LEAST_ONCE)) {
      set.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 1000);
    }
    set.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 128 << 20);
    set.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    set.put(StreamsConfig.BUFFERED_RECORDS_PER_PARTITION_CONFIG, 5000);
    set.put("enable.metrics.push", false);
    set.put("consumer.auto.offset.reset", "earliest");
    set.put("consumer.max.poll.records", 10_000);
    set.put("producer.linger.ms", 50);
    set.put("producer.batch.size", 512 << 10);
    set.put("producer.buffer.memory", 64 << 20);
    set.put("producer.compression.type", "lz4");

    KafkaStreams streams = new KafkaStreams(topology, set);
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
}

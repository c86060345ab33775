import java.time.Duration;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Joins by item and counts, on objects on the heap: all counts, and the items that were used last.
 *
 * <p>Before a commit, all items and counts that changed go to their stores, one put each. With exactly_once_v2, stores
 * and offsets are committed together. At least once, a kill can leave items in the changelog that the offsets do not
 * cover: their events come again and are not newer, so they change no count. Therefore the counts are then made from
 * the items at a start, and not read.
 */
final class Join implements Processor<byte[], Event, Void, Void> {
  static final String ITEMS = "items";
  static final String TALLIES = "tallies";

  private static final int CACHED_ITEMS = 20_000;

  private final Duration countsEvery;
  private final Map<String, Item> cached = new LinkedHashMap<>(16, 0.75f, true);
  private final List<Item> changed = new ArrayList<>();
  private Tallies tallies;
  private KeyValueStore<String, byte[]> items;
  private KeyValueStore<String, byte[]> counts;

  /**
   * @param countsEvery the interval at which counts are stored between commits, at least once; null for exactly_once_v2
   */
  Join(Duration countsEvery) {
    this.countsEvery = countsEvery;
  }

  @Override
  public void init(ProcessorContext<Void, Void> context) {
    // After an aborted transaction the stores are made again, and with them the objects.
    cached.clear();
    changed.clear();
    tallies = new Tallies();
    items = context.getStateStore(ITEMS);
    counts = context.getStateStore(TALLIES);
    BeforeCommit commit = context.getStateStore(BeforeCommit.NAME);
    commit.action = this::store;
    if (countsEvery == null) {
      each(counts, entry -> tallies.load(entry.key, entry.value));
    } else {
      each(items, entry -> Item.decode(entry.key, entry.value, tallies).count(tallies));
      each(counts, entry -> tallies.renew(entry.key));
      context.schedule(countsEvery, PunctuationType.WALL_CLOCK_TIME, now -> tallies.drain(counts::put));
    }
  }

  private static void each(
      KeyValueStore<String, byte[]> store, Consumer<KeyValue<String, byte[]>> action) {
    try (KeyValueIterator<String, byte[]> all = store.all()) {
      all.forEachRemaining(action);
    }
  }

  @Override
  public void process(Record<byte[], Event> record) {
    Event event = record.value();
    Item item = cached.get(event.item);
    if (item == null) {
      byte[] row = items.get(event.item);
      item = row == null ? new Item(event.item) : Item.decode(event.item, row, tallies);
      cached.put(event.item, item);
    }
    boolean stored = !item.changed;
    if (event.metric == null) {
      item.annotate(event, tallies);
    } else {
      item.evaluate(event, tallies);
    }
    if (stored && item.changed) {
      changed.add(item);
    }
  }

  private void store() {
    for (Item item : changed) {
      items.put(item.name, item.encode());
      item.changed = false;
    }
    changed.clear();
    tallies.drain(counts::put);
    Iterator<Item> oldest = cached.values().iterator();
    while (cached.size() > CACHED_ITEMS) {
      oldest.next();
      oldest.remove();
    }
  }
}

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;

/**
 * Joins by item and counts, in one step: a second one by group would send seven changes an event over the network.
 *
 * <p>The counts are those of this subtask. They are sent every 50 ms, and before each checkpoint, as Flink's own
 * operators do with what they hold back.
 */
final class FlinkJoin extends AbstractStreamOperator<Tuple2<byte[], byte[]>>
    implements OneInputStreamOperator<Tuple2<String, byte[]>, Tuple2<byte[], byte[]>> {
  private static final long serialVersionUID = 1;
  private static final long COUNTS_EVERY_MS = 50;
  private static final long DAY_MS = 86_400_000L;

  /** What is known of one item: rows by identity, encoded names and versions as Flink serializes them. */
  public static final class Item {
    public Map<String, Said> said = new HashMap<>();
    public Map<String, Judged> judged = new HashMap<>();
  }

  /** An annotation. */
  public static final class Said {
    public long at;
    public String id;
    public String queue;
    public String criterion;
    public boolean passed;
  }

  /** An evaluation. */
  public static final class Judged {
    public long at;
    public String id;
    public boolean passed;
  }

  private record Group(String queue, String criterion, String metric, long day) {}

  private static final class Cell {
    final byte[] key;
    final long[] counts = new long[4];
    boolean changed;

    Cell(byte[] key) {
      this.key = key;
    }

    byte[] encode() {
      ByteBuffer encoded = ByteBuffer.allocate(32);
      encoded.asLongBuffer().put(counts);
      return encoded.array();
    }
  }

  private transient EventDeserializer events;
  private transient ValueState<Item> items;
  private transient ListState<Tuple2<byte[], byte[]>> stored;
  private transient Map<Group, Cell> cells;
  private transient List<Cell> changed;
  private transient long sentAt;
  private transient int subtask;

  @Override
  public void initializeState(StateInitializationContext context) throws Exception {
    super.initializeState(context);
    events = new EventDeserializer();
    cells = new HashMap<>();
    changed = new ArrayList<>();
    subtask = getRuntimeContext().getTaskInfo().getIndexOfThisSubtask();
    items = context.getKeyedStateStore().getState(new ValueStateDescriptor<>("items", Item.class));
    // Every subtask gets the counts of all, and takes its own: with the same parallelism it has the same items.
    stored =
        context
            .getOperatorStateStore()
            .getUnionListState(
                new ListStateDescriptor<>(
                    "tallies",
                    Types.TUPLE(
                        PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO,
                        PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO)));
    for (Tuple2<byte[], byte[]> count : stored.get()) {
      String[] parts = new String(count.f0, StandardCharsets.UTF_8).split("\0", -1);
      if (Integer.parseInt(parts[4]) == subtask) {
        Cell cell = cell(new Group(parts[0], parts[1], parts[2], Long.parseLong(parts[3])));
        ByteBuffer.wrap(count.f1).asLongBuffer().get(cell.counts);
        note(cell);
      }
    }
  }

  @Override
  public void processElement(StreamRecord<Tuple2<String, byte[]>> record) throws Exception {
    Event event = events.deserialize(null, record.getValue().f1);
    Item item = items.value();
    if (item == null) {
      item = new Item();
    }
    if (event.metric == null ? annotate(item, event) : evaluate(item, event)) {
      items.update(item);
    }
    if (!changed.isEmpty() && System.currentTimeMillis() - sentAt >= COUNTS_EVERY_MS) {
      send();
    }
  }

  @Override
  public void prepareSnapshotPreBarrier(long checkpoint) {
    send();
  }

  @Override
  public void snapshotState(StateSnapshotContext context) throws Exception {
    super.snapshotState(context);
    List<Tuple2<byte[], byte[]>> counts = new ArrayList<>();
    cells.values().forEach(cell -> counts.add(Tuple2.of(cell.key, cell.encode())));
    stored.update(counts);
  }

  private boolean annotate(Item item, Event event) {
    String identity = event.queue + "\0" + event.criterion + "\0" + event.annotator;
    Said old = item.said.get(identity);
    if (old != null) {
      if (!newer(event, old.at, old.id)) {
        return false;
      }
      item.judged.forEach((metric, judged) -> add(old, metric, judged, -1));
    }
    Said said = new Said();
    said.at = event.at;
    said.id = event.id;
    said.queue = event.queue;
    said.criterion = event.criterion;
    said.passed = event.stars >= 3;
    item.said.put(identity, said);
    item.judged.forEach((metric, judged) -> add(said, metric, judged, 1));
    return true;
  }

  private boolean evaluate(Item item, Event event) {
    Judged old = item.judged.get(event.metric);
    if (old != null) {
      if (!newer(event, old.at, old.id)) {
        return false;
      }
      item.said.values().forEach(said -> add(said, event.metric, old, -1));
    }
    Judged judged = new Judged();
    judged.at = event.at;
    judged.id = event.id;
    judged.passed = event.score >= event.threshold;
    item.judged.put(event.metric, judged);
    item.said.values().forEach(said -> add(said, event.metric, judged, 1));
    return true;
  }

  private static boolean newer(Event event, long at, String id) {
    return event.at > at || event.at == at && event.id.compareTo(id) > 0;
  }

  private void add(Said said, String metric, Judged judged, int sign) {
    Cell cell = cell(new Group(said.queue, said.criterion, metric, said.at / DAY_MS));
    cell.counts[(said.passed ? 2 : 0) + (judged.passed ? 1 : 0)] += sign;
    note(cell);
  }

  private Cell cell(Group group) {
    return cells.computeIfAbsent(
        group,
        of -> {
          String key = of.queue + "\0" + of.criterion + "\0" + of.metric + "\0" + of.day + "\0" + subtask;
          return new Cell(key.getBytes(StandardCharsets.UTF_8));
        });
  }

  private void note(Cell cell) {
    if (!cell.changed) {
      cell.changed = true;
      changed.add(cell);
    }
  }

  private void send() {
    for (Cell cell : changed) {
      output.collect(new StreamRecord<>(Tuple2.of(cell.key, cell.encode())));
      cell.changed = false;
    }
    changed.clear();
    sentAt = System.currentTimeMillis();
  }
}

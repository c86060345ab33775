import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;

/** Absolute counts per group as objects, and which of them changed. */
final class Tallies {
  private static final long DAY_MS = 86_400_000L;

  private record Rubric(String queue, String criterion, long day) {}

  /** The four counts of a group: people fail and metric fails, fail and passes, pass and fails, pass and passes. */
  private static final class Cell {
    final String key;
    final long[] counts = new long[4];
    boolean changed;

    Cell(String key) {
      this.key = key;
    }

    byte[] encode() {
      ByteBuffer encoded = ByteBuffer.allocate(32);
      for (long count : counts) {
        encoded.putLong(count);
      }
      return encoded.array();
    }
  }

  /** The cells of a queue, criterion and day, by metric: an annotation keeps those it counts in. */
  static final class Cells {
    private final Rubric rubric;
    private final Map<String, Cell> byMetric = new HashMap<>();

    private Cells(Rubric rubric) {
      this.rubric = rubric;
    }

    private Cell of(String metric) {
      Cell cell = byMetric.get(metric);
      if (cell == null) {
        cell = new Cell(rubric.queue + "\0" + rubric.criterion + "\0" + metric + "\0" + rubric.day);
        byMetric.put(metric, cell);
      }
      return cell;
    }
  }

  private final Map<Rubric, Cells> cells = new HashMap<>();
  private final Map<String, String> names = new HashMap<>();
  private final List<Cell> changed = new ArrayList<>();

  Cells of(String queue, String criterion, long at) {
    return cells.computeIfAbsent(new Rubric(queue, criterion, at / DAY_MS), Cells::new);
  }

  /** One object for each name. */
  String name(String text) {
    String known = names.putIfAbsent(text, text);
    return known == null ? text : known;
  }

  void add(Item.Said said, String metric, Item.Judged judged, int sign) {
    Cell cell = said.cells().of(metric);
    cell.counts[(said.passed() ? 2 : 0) + (judged.passed() ? 1 : 0)] += sign;
    note(cell);
  }

  /** Takes counts as they were stored. */
  void load(String key, byte[] stored) {
    Cell cell = stored(key);
    ByteBuffer.wrap(stored).asLongBuffer().get(cell.counts);
  }

  /** Makes sure that the group is drained, also where nothing is counted in it. */
  void renew(String key) {
    note(stored(key));
  }

  private Cell stored(String key) {
    String[] parts = key.split("\0", -1);
    Rubric rubric = new Rubric(name(parts[0]), name(parts[1]), Long.parseLong(parts[3]));
    return cells.computeIfAbsent(rubric, Cells::new).of(name(parts[2]));
  }

  private void note(Cell cell) {
    if (!cell.changed) {
      cell.changed = true;
      changed.add(cell);
    }
  }

  /** Passes on key and counts of each group that changed since the last call. */
  void drain(BiConsumer<String, byte[]> to) {
    for (Cell cell : changed) {
      to.accept(cell.key, cell.encode());
      cell.changed = false;
    }
    changed.clear();
  }
}

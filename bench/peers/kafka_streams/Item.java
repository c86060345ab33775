import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/** The newest row of each identity of one item. */
final class Item {
  record Identity(String queue, String criterion, String annotator) {}

  record Said(long at, boolean passed, String id, Tallies.Cells cells) {}

  record Judged(long at, boolean passed, String id) {}

  final String name;
  final Map<Identity, Said> said = new HashMap<>();
  final Map<String, Judged> judged = new HashMap<>();

  /** Whether it differs from its row in the store. */
  boolean changed;

  Item(String name) {
    this.name = name;
  }

  void annotate(Event event, Tallies tallies) {
    Identity identity = new Identity(event.queue, event.criterion, event.annotator);
    Said old = said.get(identity);
    if (old != null) {
      if (!newer(event, old.at, old.id)) {
        return;
      }
      judged.forEach((metric, judgement) -> tallies.add(old, metric, judgement, -1));
    }
    Tallies.Cells cells = tallies.of(event.queue, event.criterion, event.at);
    Said now = new Said(event.at, event.stars >= 3, event.id, cells);
    said.put(identity, now);
    judged.forEach((metric, judgement) -> tallies.add(now, metric, judgement, 1));
    changed = true;
  }

  void evaluate(Event event, Tallies tallies) {
    Judged old = judged.get(event.metric);
    if (old != null) {
      if (!newer(event, old.at, old.id)) {
        return;
      }
      said.values().forEach(saying -> tallies.add(saying, event.metric, old, -1));
    }
    Judged now = new Judged(event.at, event.score >= event.threshold, event.id);
    judged.put(event.metric, now);
    said.values().forEach(saying -> tallies.add(saying, event.metric, now, 1));
    changed = true;
  }

  private static boolean newer(Event event, long at, String id) {
    return event.at > at || event.at == at && event.id.compareTo(id) > 0;
  }

  /** Counts all its comparisons. */
  void count(Tallies tallies) {
    said.values().forEach(saying -> judged.forEach((metric, now) -> tallies.add(saying, metric, now, 1)));
  }

  byte[] encode() {
    Row row = new Row();
    row.number(said.size());
    said.forEach(
        (identity, saying) -> {
          row.version(saying.at, saying.passed, saying.id);
          row.text(identity.queue);
          row.text(identity.criterion);
          row.text(identity.annotator);
        });
    judged.forEach(
        (metric, judgement) -> {
          row.version(judgement.at, judgement.passed, judgement.id);
          row.text(metric);
        });
    return row.toByteArray();
  }

  static Item decode(String name, byte[] encoded, Tallies tallies) {
    Item item = new Item(name);
    ByteBuffer row = ByteBuffer.wrap(encoded);
    for (int left = row.getShort(); left > 0; left--) {
      long at = row.getLong();
      boolean passed = row.get() == 1;
      String id = text(row);
      Identity identity = new Identity(tallies.name(text(row)), tallies.name(text(row)), tallies.name(text(row)));
      item.said.put(identity, new Said(at, passed, id, tallies.of(identity.queue, identity.criterion, at)));
    }
    while (row.hasRemaining()) {
      Judged judgement = new Judged(row.getLong(), row.get() == 1, text(row));
      item.judged.put(tallies.name(text(row)), judgement);
    }
    return item;
  }

  private static String text(ByteBuffer row) {
    int length = row.getShort();
    String text = new String(row.array(), row.position(), length, StandardCharsets.UTF_8);
    row.position(row.position() + length);
    return text;
  }

  /** A growing row. */
  private static final class Row extends ByteArrayOutputStream {
    Row() {
      super(256);
    }

    void number(int number) {
      write(number >> 8);
      write(number);
    }

    void version(long at, boolean passed, String id) {
      for (int shift = 56; shift >= 0; shift -= 8) {
        write((int) (at >> shift));
      }
      write(passed ? 1 : 0);
      text(id);
    }

    void text(String text) {
      byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
      number(bytes.length);
      write(bytes, 0, bytes.length);
    }
  }
}

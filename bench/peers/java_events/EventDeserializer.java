import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.kafka.common.serialization.Deserializer;

/** JSON by Jackson's streaming parser. Names come again and again: one object each, for all threads. */
final class EventDeserializer implements Deserializer<Event> {
  private static final JsonFactory FACTORY = new JsonFactory();

  private final Map<String, String> names = new ConcurrentHashMap<>();

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
    String known = names.get(text);
    if (known == null) {
      String raced = names.putIfAbsent(text, text);
      return raced == null ? text : raced;
    }
    return known;
  }
}

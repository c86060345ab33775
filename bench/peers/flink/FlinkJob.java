import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.Optional;
import java.util.stream.Stream;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.typeinfo.PrimitiveArrayTypeInfo;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.CoreOptions;
import org.apache.flink.configuration.ExecutionOptions;
import org.apache.flink.configuration.ExternalizedCheckpointRetention;
import org.apache.flink.configuration.PipelineOptions;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.StateRecoveryOptions;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.producer.ProducerRecord;

/**
 * The job of the peers on the DataStream API of Flink, in a cluster within this process.
 *
 * <p>State is objects on the heap, with a checkpoint a second at most; a start goes on from the newest complete one.
 * Counts go to a topic as absolute numbers of one subtask, so what is sent again after a restart changes nothing.
 *
 * <p>Options: two subtasks; objects are reused; events cross the network as their bytes and are parsed after it, which
 * is cheaper than serializing what was parsed; buffers wait 50 ms at most; the producer sends lz4 batches of 512 KB.
 */
public final class FlinkJob {
  private static final int SUBTASKS = 2;

  private FlinkJob() {}

  /** Arguments: brokers, topic of annotations, topic of evaluations, group, topic of counts, directory of checkpoints. */
  public static void main(String[] arguments) throws Exception {
    Path checkpoints = Path.of(arguments[5]);
    Configuration set = new Configuration();
    set.set(CoreOptions.DEFAULT_PARALLELISM, SUBTASKS);
    set.set(PipelineOptions.OBJECT_REUSE, true);
    set.set(ExecutionOptions.BUFFER_TIMEOUT, Duration.ofMillis(50));
    set.set(StateBackendOptions.STATE_BACKEND, "hashmap");
    set.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, Duration.ofSeconds(1));
    set.set(CheckpointingOptions.MIN_PAUSE_BETWEEN_CHECKPOINTS, Duration.ofMillis(500));
    set.set(CheckpointingOptions.CHECKPOINT_STORAGE, "filesystem");
    set.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, checkpoints.toUri().toString());
    set.set(
        CheckpointingOptions.EXTERNALIZED_CHECKPOINT_RETENTION, ExternalizedCheckpointRetention.RETAIN_ON_CANCELLATION);
    newest(checkpoints).ifPresent(path -> set.set(StateRecoveryOptions.SAVEPOINT_PATH, path.toUri().toString()));

    TypeInformation<Tuple2<String, byte[]>> keyed =
        Types.TUPLE(Types.STRING, PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);
    TypeInformation<Tuple2<byte[], byte[]>> counted =
        Types.TUPLE(
            PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO,
            PrimitiveArrayTypeInfo.BYTE_PRIMITIVE_ARRAY_TYPE_INFO);
    KafkaSource<Tuple2<String, byte[]>> source =
        KafkaSource.<Tuple2<String, byte[]>>builder()
            .setBootstrapServers(arguments[0])
            .setTopics(arguments[1], arguments[2])
            .setGroupId(arguments[3])
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setProperty("max.poll.records", "10000")
            .setDeserializer(new ByItem(keyed))
            .build();
    KafkaSink<Tuple2<byte[], byte[]>> sink =
        KafkaSink.<Tuple2<byte[], byte[]>>builder()
            .setBootstrapServers(arguments[0])
            .setDeliveryGuarantee(DeliveryGuarantee.AT_LEAST_ONCE)
            .setProperty("compression.type", "lz4")
            .setProperty("batch.size", Integer.toString(512 << 10))
            .setRecordSerializer(new ToTopic(arguments[4]))
            .build();
    StreamExecutionEnvironment flink = StreamExecutionEnvironment.getExecutionEnvironment(set);
    flink
        .fromSource(source, WatermarkStrategy.noWatermarks(), "events", keyed)
        .uid("events")
        .keyBy(event -> event.f0, Types.STRING)
        .transform("join", counted, new FlinkJoin())
        .uid("join")
        .sinkTo(sink)
        .uid("counts");
    flink.execute("peer");
  }

  /** The newest complete checkpoint of an earlier process. */
  private static Optional<Path> newest(Path checkpoints) throws IOException {
    if (!Files.isDirectory(checkpoints)) {
      return Optional.empty();
    }
    try (Stream<Path> files = Files.walk(checkpoints, 3)) {
      return files
          .filter(file -> file.endsWith("_metadata"))
          .max(Comparator.comparingLong(file -> file.toFile().lastModified()))
          .map(Path::getParent);
    }
  }

  private record ByItem(TypeInformation<Tuple2<String, byte[]>> type)
      implements KafkaRecordDeserializationSchema<Tuple2<String, byte[]>> {
    @Override
    public void deserialize(ConsumerRecord<byte[], byte[]> record, Collector<Tuple2<String, byte[]>> out) {
      out.collect(Tuple2.of(new String(record.key(), StandardCharsets.UTF_8), record.value()));
    }

    @Override
    public TypeInformation<Tuple2<String, byte[]>> getProducedType() {
      return type;
    }
  }

  private record ToTopic(String topic) implements KafkaRecordSerializationSchema<Tuple2<byte[], byte[]>> {
    @Override
    public ProducerRecord<byte[], byte[]> serialize(
        Tuple2<byte[], byte[]> count, KafkaSinkContext context, Long timestamp) {
      return new ProducerRecord<>(topic, count.f0, count.f1);
    }
  }
}

import java.util.Map;
import org.apache.kafka.streams.state.RocksDBConfigSetter;
import org.rocksdb.BlockBasedTableConfig;
import org.rocksdb.Cache;
import org.rocksdb.LRUCache;
import org.rocksdb.Options;
import org.rocksdb.WriteBufferManager;

/** Bounds the memory of all RocksDB stores together, as the documentation of Kafka Streams describes. */
public final class SharedMemory implements RocksDBConfigSetter {
  private static final long BYTES = 256L << 20;

  static {
    org.rocksdb.RocksDB.loadLibrary();
  }

  private static final Cache CACHE = new LRUCache(BYTES, -1, false, 0.1);
  private static final WriteBufferManager WRITES = new WriteBufferManager(BYTES / 2, CACHE);

  @Override
  public void setConfig(String store, Options options, Map<String, Object> configs) {
    BlockBasedTableConfig table = (BlockBasedTableConfig) options.tableFormatConfig();
    table.setBlockCache(CACHE);
    table.setCacheIndexAndFilterBlocks(true);
    table.setPinL0FilterAndIndexBlocksInCache(true);
    options.setWriteBufferManager(WRITES);
    options.setTableFormatConfig(table);
  }

  @Override
  public void close(String store, Options options) {
    // All stores share the two objects.
  }
}

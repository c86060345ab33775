"""Everything that touches aiokafka or Faust: clients, topics, the batch transport, producers."""

"""Everything that uses private parts of aiokafka or Faust: clients, topics, the batch transport, producers."""

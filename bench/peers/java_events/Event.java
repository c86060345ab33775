/** An annotation or an evaluation; the fields of the other kind are null or zero. */
final class Event {
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

// Grades without a model: rejects an answer with WRONG in it, and fails for one with BROKEN.
module.exports = class {
  id() {
    return 'offline-judge-1';
  }

  async callApi(prompt) {
    if (prompt.includes('BROKEN')) {
      return { error: 'the judge is not reachable' };
    }
    const accepts = !prompt.includes('WRONG');
    return { output: JSON.stringify({ pass: accepts, score: accepts ? 0.9 : 0.2, reason: 'It was compared.' }) };
  }
};

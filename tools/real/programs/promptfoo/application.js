// Answers with the variable `answer` of the test, or fails.
module.exports = class {
  id() {
    return 'application';
  }

  async callApi(_prompt, context) {
    const { answer } = context.vars;
    return answer === 'CRASH' ? { error: 'the application crashed' } : { output: answer };
  }
};

-- What each item of a queue can be found by: the words of its id and of its texts, in documents that have numbers. The
-- texts themselves are not kept a second time, so words of a document cannot be removed: an item that changes gets
-- another document, and words of a number that search_documents does not have are of no item.
--
-- New documents go into the table of search_state.active. Once most of its documents are replaced, the other table
-- becomes the active one, the items move into it, and the left table is emptied (sinks.store.search_index).
CREATE VIRTUAL TABLE search_words_0 USING fts5 (words, content = '', detail = 'none', columnsize = 0, tokenize = 'ascii');
CREATE VIRTUAL TABLE search_words_1 USING fts5 (words, content = '', detail = 'none', columnsize = 0, tokenize = 'ascii');
CREATE TABLE search_documents (
    document INTEGER PRIMARY KEY,
    item_id  INTEGER NOT NULL,
    queue    TEXT NOT NULL,
    digest   BLOB NOT NULL
);
CREATE UNIQUE INDEX search_documents_items ON search_documents (item_id, queue);

-- active: number of the table that new documents go into. first: the number of its first document; lower ones are in the
-- other table. next: the number of the next document.
CREATE TABLE search_state (
    active INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    next   INTEGER NOT NULL
);
INSERT INTO search_state VALUES (0, 1, 1);

-- Items that changed since their document was written.
CREATE TABLE search_pending (
    item_id INTEGER NOT NULL,
    queue   TEXT NOT NULL,
    PRIMARY KEY (item_id, queue)
) WITHOUT ROWID;
INSERT INTO search_pending SELECT item_id, queue FROM profile_items;

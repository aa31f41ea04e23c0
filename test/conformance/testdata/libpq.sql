-- lib/pq's suite makes what it needs itself; hstore it may not.
CREATE EXTENSION hstore;

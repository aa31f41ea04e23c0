import java.math.BigDecimal;
import java.sql.*;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.*;

/** pgJDBC: what applications, Hibernate, DBeaver and pools do with it. Writes a line of JSON for each step. */
public final class Session {
  interface Work { Object run() throws Exception; }

  static Connection db;

  static Connection connect(String more) throws SQLException {
    Properties login = new Properties();
    login.setProperty("user", System.getenv("PGUSER"));
    login.setProperty("password", System.getenv("PGPASSWORD"));
    return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/" + System.getenv("PGDATABASE") + "?sslmode=disable" + more, login);
  }

  static void step(String name, Work work) { step(name, "", work); }

  static void step(String name, String more, Work work) {
    StringBuilder line = new StringBuilder("{\"step\":");
    json(line, name);
    try {
      Object answer = work.run();
      line.append(",\"answer\":");
      json(line, answer);
    } catch (Exception error) { // every error is an answer
      String state = error instanceof SQLException ? ((SQLException) error).getSQLState() : "";
      line.append(",\"error\":");
      json(line, error.getClass().getSimpleName() + " " + state + ": " + error.getMessage());
    }
    System.out.println(line.append(more).append("}"));
  }

  static void json(StringBuilder out, Object value) throws RuntimeException {
    if (value == null) out.append("null");
    else if (value instanceof Boolean || value instanceof Integer || value instanceof Long) out.append(value);
    else if (value instanceof Collection) {
      String before = "[";
      if (((Collection<?>) value).isEmpty()) out.append("[");
      for (Object one : (Collection<?>) value) { out.append(before); json(out, one); before = ","; }
      out.append("]");
    } else if (value instanceof Object[]) json(out, Arrays.asList((Object[]) value));
    else if (value instanceof int[]) { List<Object> l = new ArrayList<>(); for (int i : (int[]) value) l.add(i); json(out, l); }
    else if (value instanceof byte[]) json(out, Arrays.toString((byte[]) value));
    else if (value instanceof java.sql.Array) { try { json(out, ((java.sql.Array) value).getArray()); } catch (SQLException e) { json(out, e.getMessage()); } }
    else {
      out.append('"');
      for (char c : value.toString().toCharArray()) {
        if (c == '"' || c == '\\') out.append('\\').append(c);
        else if (c < ' ') out.append(String.format("\\u%04x", (int) c));
        else out.append(c);
      }
      out.append('"');
    }
  }

  static List<Object> rows(ResultSet set) throws SQLException {
    List<Object> found = new ArrayList<>();
    int width = set.getMetaData().getColumnCount();
    while (set.next()) {
      List<Object> row = new ArrayList<>();
      for (int i = 1; i <= width; i++) row.add(set.getObject(i));
      found.add(row);
    }
    set.close();
    return found;
  }

  static List<Object> rows(String sql, Object... parameters) throws SQLException {
    try (PreparedStatement s = db.prepareStatement(sql)) {
      for (int i = 0; i < parameters.length; i++) s.setObject(i + 1, parameters[i]);
      return rows(s.executeQuery());
    }
  }

  static int count(String sql, Object... parameters) throws SQLException {
    try (PreparedStatement s = db.prepareStatement(sql)) {
      for (int i = 0; i < parameters.length; i++) s.setObject(i + 1, parameters[i]);
      return s.executeUpdate();
    }
  }

  static final String TAGGED = "SELECT id, name, email, ssn, card_number, credit_limit, labels, active, created_at FROM customers WHERE id < ? ORDER BY id";
  static final String WHOLE = ",\"refused\":\"a masked placeholder must not be written back\"";

  public static void main(String[] args) throws Exception {
    db = connect("");
    metadata(db.getMetaData());
    reading();
    writing();
    transactions();
    db.close();
    others();
  }

  static void metadata(DatabaseMetaData m) {
    step("product, versions", () -> List.of(m.getDatabaseProductName(), m.getDatabaseMajorVersion(), m.getMaxColumnNameLength(), m.getSQLKeywords()));
    step("getCatalogs, getSchemas, getTableTypes", () -> List.of(rows(m.getSchemas()), rows(m.getTableTypes())));
    step("getTables", () -> rows(m.getTables(null, null, "%", new String[] {"TABLE", "VIEW", "MATERIALIZED VIEW", "PARTITIONED TABLE"})));
    step("getTables of everything", () -> rows(m.getTables(null, "%", "%", null)).size());
    step("getColumns", () -> rows(m.getColumns(null, "public", "%", "%")));
    step("getColumns of one table", () -> rows(m.getColumns(null, null, "customers", null)));
    step("getPrimaryKeys", () -> List.of(rows(m.getPrimaryKeys(null, "public", "order_items")), rows(m.getPrimaryKeys(null, null, "customers"))));
    step("getImportedKeys, getExportedKeys, getCrossReference", () -> List.of(rows(m.getImportedKeys(null, "public", "order_items")), rows(m.getExportedKeys(null, "public", "customers")), rows(m.getCrossReference(null, "public", "customers", null, "public", "orders"))));
    step("getIndexInfo", () -> List.of(rows(m.getIndexInfo(null, "public", "customers", false, false)), rows(m.getIndexInfo(null, null, "orders", true, true))));
    step("getTypeInfo", () -> rows(m.getTypeInfo()).size());
    step("getFunctions, getFunctionColumns", () -> List.of(rows(m.getFunctions(null, "public", "%")), rows(m.getFunctionColumns(null, "public", "order_total", null))));
    step("getProcedures, getProcedureColumns", () -> List.of(rows(m.getProcedures(null, "public", "%")), rows(m.getProcedureColumns(null, "public", "%", "%"))));
    step("getUDTs", () -> rows(m.getUDTs(null, "public", "%", null)));
    step("getBestRowIdentifier, getVersionColumns", () -> List.of(rows(m.getBestRowIdentifier(null, "public", "customers", DatabaseMetaData.bestRowSession, false)), rows(m.getVersionColumns(null, "public", "customers"))));
    step("getTablePrivileges, getColumnPrivileges", () -> List.of(rows(m.getTablePrivileges(null, "public", "products")).size(), rows(m.getColumnPrivileges(null, "public", "products", "sku")).size()));
    step("getClientInfoProperties", () -> rows(m.getClientInfoProperties()));
  }

  static void reading() {
    step("statement", () -> { try (Statement s = db.createStatement()) { return rows(s.executeQuery("SELECT * FROM products ORDER BY id")); } });
    step("prepared", () -> rows(TAGGED, 5));
    step("prepared, eight times: binary after the fifth", () -> {
      List<Object> found = new ArrayList<>();
      try (PreparedStatement s = db.prepareStatement(TAGGED)) {
        for (int i = 0; i < 8; i++) { s.setInt(1, 2 + i % 3); found.add(rows(s.executeQuery())); }
      }
      return found;
    });
    step("fetch size", () -> {
      db.setAutoCommit(false);
      try (PreparedStatement s = db.prepareStatement(TAGGED)) { s.setInt(1, 100); s.setFetchSize(7); return rows(s.executeQuery()); } finally { db.commit(); db.setAutoCommit(true); }
    });
    step("scrollable", () -> { try (Statement s = db.createStatement(ResultSet.TYPE_SCROLL_INSENSITIVE, ResultSet.CONCUR_READ_ONLY); ResultSet r = s.executeQuery("SELECT id, email FROM customers ORDER BY id")) { r.absolute(7); int at = r.getInt(1); r.last(); return List.of(at, r.getInt(1), r.getString(2), r.getRow()); } });
    step("ResultSetMetaData", () -> {
      try (PreparedStatement s = db.prepareStatement("SELECT c.*, o.id AS n, count(*) OVER () FROM customers c JOIN orders o ON o.customer_id = c.id LIMIT 0")) {
        ResultSetMetaData m = s.getMetaData();
        List<Object> found = new ArrayList<>();
        for (int i = 1; i <= m.getColumnCount(); i++) found.add(List.of(m.getColumnLabel(i), m.getColumnTypeName(i), m.getColumnType(i), m.getTableName(i), m.isNullable(i), m.isAutoIncrement(i), m.getPrecision(i), m.getScale(i)));
        return found;
      }
    });
    step("ParameterMetaData", () -> { try (PreparedStatement s = db.prepareStatement("SELECT id FROM customers WHERE id = ? AND email = ?")) { return List.of(s.getParameterMetaData().getParameterTypeName(1), s.getParameterMetaData().getParameterTypeName(2)); } });
    step("setObject of many types", () -> rows("SELECT ?::text, ?::int, ?::bigint, ?::numeric, ?::timestamptz, ?::date, ?::uuid, ?::bool, ?::float8", "x", 1, 2L, new BigDecimal("3.5"), OffsetDateTime.parse("2024-01-01T00:00:00Z"), LocalDate.of(2024, 1, 2), UUID.fromString("00000000-0000-0000-0000-000000000001"), true, 1.5));
    step("setArray, = ANY", () -> rows("SELECT id, email FROM customers WHERE id = ANY (?) ORDER BY id", db.createArrayOf("integer", new Object[] {1, 2, 3})));
    step("getters of tagged values", () -> { try (Statement s = db.createStatement(); ResultSet r = s.executeQuery("SELECT email, credit_limit, created_at, profile FROM customers WHERE id = 1")) { r.next(); return List.of(r.getString("email"), r.getBigDecimal("credit_limit").toString(), r.getTimestamp("created_at"), r.getString("profile"), r.findColumn("profile")); } });
    step("join", () -> rows("SELECT o.id, c.email, o.state, o.token FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.state = ?::order_state ORDER BY o.id LIMIT 5", "paid"));
    step("escape syntax", () -> rows("SELECT {fn upper(name)}, {fn length(name)}, {d '2024-01-01'}, {fn year(created_at)} FROM customers WHERE id = 1"));
    step("callable", () -> { try (CallableStatement s = db.prepareCall("{? = call upper(?)}")) { s.registerOutParameter(1, Types.VARCHAR); s.setString(2, "quiet"); s.execute(); return s.getString(1); } });
    step("several results", () -> { try (Statement s = db.createStatement()) { s.execute("SELECT 1; SELECT email FROM customers WHERE id = 1"); Object one = rows(s.getResultSet()); s.getMoreResults(); return List.of(one, rows(s.getResultSet())); } });
    step("max rows", () -> { try (Statement s = db.createStatement()) { s.setMaxRows(3); return rows(s.executeQuery("SELECT id, ssn FROM customers ORDER BY id")); } });
    step("query timeout", () -> { try (Statement s = db.createStatement()) { s.setQueryTimeout(30); return rows(s.executeQuery("SELECT count(*) FROM orders")); } });
    step("isValid, pool checks", () -> List.of(db.isValid(5), rows("SELECT 1"), db.getSchema(), db.getCatalog()));
    step("Hibernate's start", () -> List.of(rows("select current_schema()"), rows("select * from information_schema.sequences").size()));
    step("COPY TO, untagged", () -> copyOut("COPY products (id, sku) TO STDOUT"));
    step("COPY TO, tagged", () -> copyOut("COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT (FORMAT csv)"));
    step("an error", () -> rows("SELECT title::int FROM products"));
  }

  static Object copyOut(String sql) throws Exception {
    Object manager = Class.forName("org.postgresql.copy.CopyManager").getConstructor(Class.forName("org.postgresql.core.BaseConnection")).newInstance(db);
    java.io.StringWriter out = new java.io.StringWriter();
    manager.getClass().getMethod("copyOut", String.class, java.io.Writer.class).invoke(manager, sql, out);
    return out.toString();
  }

  static void writing() {
    step("generated keys", () -> { try (PreparedStatement s = db.prepareStatement("INSERT INTO products (sku, title, price) VALUES (?, ?, ?)", new String[] {"sku", "price"})) { s.setString(1, "J1"); s.setString(2, "j"); s.setBigDecimal(3, BigDecimal.ONE); s.executeUpdate(); return rows(s.getGeneratedKeys()); } });
    step("generated keys of a tagged table, all columns", () -> { try (PreparedStatement s = db.prepareStatement("INSERT INTO customers (name, email, ssn) VALUES (?, ?, ?)", Statement.RETURN_GENERATED_KEYS)) { s.setString(1, "J"); s.setString(2, "user76@canary.example"); s.setString(3, "900-45-6076"); s.executeUpdate(); return rows(s.getGeneratedKeys()); } });
    step("batch", () -> { try (PreparedStatement s = db.prepareStatement("INSERT INTO audit (what) VALUES (?)")) { for (int i = 0; i < 20; i++) { s.setString(1, "b" + i); s.addBatch(); } return s.executeBatch(); } });
    step("batch of statements", () -> { try (Statement s = db.createStatement()) { s.addBatch("UPDATE orders SET note = 'a' WHERE id = 1"); s.addBatch("UPDATE orders SET note = 'b' WHERE id = 2"); return s.executeBatch(); } });
    step("batch with generated keys", () -> { try (PreparedStatement s = db.prepareStatement("INSERT INTO products (sku, title, price) VALUES (?, 'x', 1)", new String[] {"sku"})) { for (int i = 0; i < 4; i++) { s.setString(1, "JB" + i); s.addBatch(); } s.executeBatch(); return rows(s.getGeneratedKeys()); } });
    step("updatable result, untagged", () -> {
      try (Statement s = db.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE); ResultSet r = s.executeQuery("SELECT id, sku, title, price FROM products WHERE id = 3")) {
        r.next(); r.updateString("title", "updated"); r.updateRow(); r.moveToInsertRow(); r.updateString("sku", "JU"); r.updateString("title", "u"); r.updateBigDecimal("price", BigDecimal.TEN); r.insertRow();
        return rows("SELECT title FROM products WHERE id = 3 OR sku = 'JU' ORDER BY id");
      }
    });
    step("updatable result of a tagged table", () -> {
      try (Statement s = db.createStatement(ResultSet.TYPE_SCROLL_SENSITIVE, ResultSet.CONCUR_UPDATABLE); ResultSet r = s.executeQuery("SELECT id, name, ssn FROM customers WHERE id = 3")) {
        r.next(); r.updateString("name", "updated"); r.updateRow(); r.refreshRow(); return List.of(r.getString("name"), r.getString("ssn"));
      }
    });
    step("masks written back", WHOLE, () -> count("UPDATE customers SET name = ?, ssn = ? WHERE id = ?", "x", "*****", 7));
    step("upsert", () -> count("INSERT INTO products (sku, title, price) VALUES (?, ?, ?) ON CONFLICT (sku) DO UPDATE SET title = excluded.title", "J1", "k", new BigDecimal("2")));
    step("delete", () -> count("DELETE FROM products WHERE sku LIKE ?", "JB%"));
    step("a duplicate of a tagged value", () -> count("INSERT INTO customers (name, email) VALUES (?, ?)", "x", "user1@canary.example"));
  }

  static void transactions() {
    step("savepoints", () -> {
      db.setAutoCommit(false);
      try {
        count("UPDATE orders SET note = 'outer' WHERE id = 3");
        Savepoint one = db.setSavepoint("one");
        count("UPDATE orders SET note = 'inner' WHERE id = 3");
        db.rollback(one);
        db.releaseSavepoint(one);
        db.commit();
        return rows("SELECT note FROM orders WHERE id = 3");
      } finally { db.rollback(); db.setAutoCommit(true); }
    });
    step("isolation, read only", () -> {
      db.setTransactionIsolation(Connection.TRANSACTION_SERIALIZABLE);
      db.setReadOnly(true);
      db.setAutoCommit(false);
      Object found = rows("SELECT count(*) FROM orders");
      db.commit();
      db.setAutoCommit(true);
      db.setReadOnly(false);
      db.setTransactionIsolation(Connection.TRANSACTION_READ_COMMITTED);
      return List.of(found, db.getTransactionIsolation());
    });
    step("for update", () -> { db.setAutoCommit(false); try { return rows("SELECT id, email FROM customers WHERE id = ? FOR UPDATE", 1); } finally { db.rollback(); db.setAutoCommit(true); } });
    step("an error in a transaction", () -> { db.setAutoCommit(false); try { rows("SELECT 1/0"); return 0; } catch (SQLException e) { return e.getSQLState(); } finally { db.rollback(); db.setAutoCommit(true); } });
    step("client info, schema", () -> { db.setClientInfo("ApplicationName", "session"); db.setSchema("public"); return List.of(rows("SHOW application_name"), rows("SHOW search_path")); });
  }

  static void others() {
    step("reWriteBatchedInserts", () -> { try (Connection c = connect("&reWriteBatchedInserts=true")) { try (PreparedStatement s = c.prepareStatement("INSERT INTO audit (what) VALUES (?)")) { for (int i = 0; i < 50; i++) { s.setString(1, "r" + i); s.addBatch(); } s.executeBatch(); } try (Statement s = c.createStatement()) { return rows(s.executeQuery("SELECT count(*) FROM audit")); } } });
    step("binary at once", () -> { try (Connection c = connect("&prepareThreshold=-1"); PreparedStatement s = c.prepareStatement(TAGGED)) { s.setInt(1, 4); return List.of(rows(s.executeQuery()), rows(s.executeQuery())); } });
    step("preferQueryMode=simple", () -> { try (Connection c = connect("&preferQueryMode=simple"); PreparedStatement s = c.prepareStatement(TAGGED)) { s.setInt(1, 4); return rows(s.executeQuery()); } });
    step("stringtype=unspecified, defaultRowFetchSize", () -> { try (Connection c = connect("&stringtype=unspecified&defaultRowFetchSize=5&ApplicationName=x")) { c.setAutoCommit(false); try (PreparedStatement s = c.prepareStatement("SELECT id, email FROM customers WHERE id < ? ORDER BY id")) { s.setString(1, "20"); return rows(s.executeQuery()); } } });
    step("autosave=always", () -> { try (Connection c = connect("&autosave=always")) { c.setAutoCommit(false); try (Statement s = c.createStatement()) { try { s.executeQuery("SELECT 1/0"); } catch (SQLException e) { return rows(s.executeQuery("SELECT email FROM customers WHERE id = 1")); } return 0; } } });
  }
}

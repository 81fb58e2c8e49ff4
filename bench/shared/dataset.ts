/** Rows of ten mixed columns, the same for every run. */
export function createItems(rows: number): string {
  return `
DROP TABLE IF EXISTS items;
CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL, title text NOT NULL, price numeric(12,2), note text,
  active boolean, doc jsonb, created timestamptz, updated timestamptz, ref uuid);
INSERT INTO items SELECT g, (g::bigint * 7919 % 100000)::int, 'item ' || md5(g::text), (g % 100000) / 100.0,
  CASE WHEN g % 3 = 0 THEN NULL ELSE 'note ' || g END, g % 2 = 0, jsonb_build_object('a', g, 'b', 'x' || g),
  timestamptz '2024-01-01' + g * interval '1 second', timestamptz '2024-01-01' + g * interval '1.5 second', md5(g::text)::uuid
FROM generate_series(1, ${rows}) g;
VACUUM ANALYZE items;`
}

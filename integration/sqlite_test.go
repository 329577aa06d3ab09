package integration

import (
	"testing"

	"github.com/remotemount/remotemount/integration/lab"
)

// TestSQLite has three processes write to a database in WAL mode, which needs
// locks and a shared map that work, and then looks at it from both sides.
func TestSQLite(t *testing.T) {
	need(t, "sqlite3")
	eachUser(t, func(t *testing.T, u lab.User) {
		s := newSite(t, u)
		m := s.mount(t)
		s.sh(t, s.point, `
			sql() { sqlite3 -bail -cmd '.timeout 60000' db "$@"; }
			test "$(sql 'PRAGMA journal_mode=WAL')" = wal
			sql 'CREATE TABLE t (id INTEGER PRIMARY KEY, who INT, text TEXT)'
			writer() {
				for i in $(seq 20); do
					echo "BEGIN IMMEDIATE;"
					for j in $(seq 20); do echo "INSERT INTO t (who, text) VALUES ($1, hex(randomblob(200)));"; done
					echo "COMMIT;"
				done | sql
			}
			pids=
			for who in 1 2 3; do writer $who & pids="$pids $!"; done
			for pid in $pids; do wait $pid; done
			test "$(sql 'PRAGMA integrity_check')" = ok
			test "$(sql 'SELECT count(*) FROM t')" = 1200
			sql 'UPDATE t SET text = upper(text) WHERE id % 3 = 0; DELETE FROM t WHERE who = 2; VACUUM'
			test "$(sql 'PRAGMA wal_checkpoint(TRUNCATE); PRAGMA integrity_check' | tail -n 1)" = ok`)
		unmount(t, m)
		s.sh(t, s.remote, `
			test "$(sqlite3 db 'PRAGMA integrity_check')" = ok
			test "$(sqlite3 db 'SELECT count(*) FROM t')" = 800`)
	})
}

package storage

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// Direct is InTx for whoever counts microseconds: fn's statements go straight to
// SQLite's driver, each prepared once for all transactions. database/sql starts
// a goroutine for every transaction, which another processor is woken for, and
// looks every statement up anew; for a commit of one row that is a tenth of its
// time. Nothing interrupts a transaction that has begun. SQLite only.
func (d *DB) Direct(ctx context.Context, fn func(*DirectTx) error) error {
	conn, err := d.Write.Conn(ctx)
	if err != nil {
		return Classify(fmt.Errorf("begin: %w", err))
	}
	err = conn.Raw(func(raw any) error {
		c, ok := raw.(driver.ConnPrepareContext)
		if !ok {
			return errors.New("the driver prepares no statements")
		}
		return d.direct.on(c).run(fn)
	})
	// Given back before anything else: there is one connection. What comes of that
	// changes nothing about the transaction.
	_ = conn.Close()
	if err != nil {
		if known := classify(err); known != nil {
			return known
		}
		return err
	}
	if d.owed.Load() {
		_ = d.truncateWAL(ctx, "0") // the transaction stands either way; still owed after an error
	}
	return nil
}

// DirectTx is a transaction of Direct and what is prepared on the writing
// connection, whoever uses it. Not safe for concurrent use.
type DirectTx struct {
	conn     driver.ConnPrepareContext
	prepared map[string]driver.Stmt
	args     []driver.NamedValue // used over and over
}

// on is d itself, or made anew where the writing connection is another one.
func (t *DirectTx) on(c driver.ConnPrepareContext) *DirectTx {
	if t.conn != c {
		t.conn, t.prepared = c, make(map[string]driver.Stmt)
	}
	return t
}

// run runs fn between BEGIN and COMMIT.
func (t *DirectTx) run(fn func(*DirectTx) error) (err error) {
	if _, err := t.Exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	done, returned := false, false
	defer func() {
		if !done { // the outcome of a rollback changes nothing
			_, _ = t.Exec("ROLLBACK")
		}
		if !returned { // a panic, after which database/sql closes the connection
			_ = t.close()
		}
	}()
	err = fn(t)
	returned = true
	if err != nil {
		return err
	}
	if _, err := t.Exec("COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	done = true
	return nil
}

// Exec runs a statement and says how many rows it changed. The text is kept, so
// that there must not be more of them than a program has.
func (t *DirectTx) Exec(text string, args ...any) (changed int64, err error) {
	st, err := t.prepare(text, args)
	if err != nil {
		return 0, err
	}
	res, err := st.(driver.StmtExecContext).ExecContext(context.Background(), t.args)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// Numbers runs a statement that answers with one row of whole numbers.
func (t *DirectTx) Numbers(into []int64, text string, args ...any) error {
	st, err := t.prepare(text, args)
	if err != nil {
		return err
	}
	rows, err := st.(driver.StmtQueryContext).QueryContext(context.Background(), t.args)
	if err != nil {
		return err
	}
	values := make([]driver.Value, len(into))
	err = rows.Next(values)
	if err == nil {
		if again := rows.Next(make([]driver.Value, len(into))); !errors.Is(again, io.EOF) {
			err = errors.Join(errors.New("more than one row"), again)
		}
	}
	if err = errors.Join(err, rows.Close()); err != nil {
		return fmt.Errorf("read one row: %w", err)
	}
	for i, v := range values {
		n, ok := v.(int64)
		if !ok {
			return fmt.Errorf("read one row: column %d is no whole number", i+1)
		}
		into[i] = n
	}
	return nil
}

// prepare finds the statement and makes its arguments ready.
func (t *DirectTx) prepare(text string, args []any) (driver.Stmt, error) {
	t.args = t.args[:0]
	for i, a := range args {
		v, err := directValue(a)
		if err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
		t.args = append(t.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	if st := t.prepared[text]; st != nil {
		return st, nil
	}
	st, err := t.conn.PrepareContext(context.Background(), text)
	if err == nil {
		t.prepared[text] = st
	}
	return st, err
}

// directValue is what database/sql makes of an argument, the usual ones first.
func directValue(a any) (driver.Value, error) {
	switch v := a.(type) {
	case nil, int64, string, []byte:
		return v, nil
	case int:
		return int64(v), nil
	}
	return driver.DefaultParameterConverter.ConvertValue(a)
}

// close gives back what is prepared: a connection is only closed without it.
func (t *DirectTx) close() error {
	var errs []error
	for _, st := range t.prepared {
		errs = append(errs, st.Close())
	}
	t.conn, t.prepared = nil, nil
	return errors.Join(errs...)
}

// closeDirect is close while the writing connection is the caller's.
func (d *DB) closeDirect() error {
	if d.Dialect != SQLite {
		return nil
	}
	conn, err := d.Write.Conn(context.Background())
	if err != nil {
		return nil // it is gone, and what was prepared with it
	}
	err = conn.Raw(func(any) error { return d.direct.close() })
	return errors.Join(err, conn.Close())
}

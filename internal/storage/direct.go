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
		c, ok := raw.(*directConn)
		if !ok {
			return fmt.Errorf("%T is no connection to SQLite", raw)
		}
		return c.tx.run(ctx, c.turns, fn)
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

// directConnector opens connections to SQLite that Direct can use.
type directConnector struct {
	driver.Connector
	turns *turnstile
}

func (c directConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	known, ok := conn.(sqliteConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%T is no connection as database/sql uses them", conn), conn.Close())
	}
	return &directConn{sqliteConn: known, turns: c.turns, tx: DirectTx{conn: known, prepared: make(map[string]driver.Stmt)}}, nil
}

// sqliteConn is what database/sql asks of a connection of this driver.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.Pinger
	driver.QueryerContext
	driver.SessionResetter
	driver.Validator
}

// directConn is a connection that gives back what Direct prepared on it before
// it is closed: by [DB.Close], after a panic, or by database/sql because a
// statement was interrupted. SQLite keeps its files open for a statement that is
// left, and the driver cannot give one back later.
type directConn struct {
	sqliteConn
	turns *turnstile
	tx    DirectTx
}

// BeginTx takes the write lock when it is this handle's turn.
func (c *directConn) BeginTx(ctx context.Context, opts driver.TxOptions) (tx driver.Tx, err error) {
	err = c.turns.pass(ctx, func() error {
		tx, err = c.sqliteConn.BeginTx(ctx, opts)
		return err
	})
	return tx, err
}

func (c *directConn) Close() error {
	return errors.Join(c.tx.close(), c.sqliteConn.Close())
}

// DirectTx is a transaction of Direct and what is prepared on its connection.
// Not safe for concurrent use.
type DirectTx struct {
	conn     driver.ConnPrepareContext
	prepared map[string]driver.Stmt
	args     []driver.NamedValue // used over and over
}

// run runs fn between BEGIN and COMMIT.
func (t *DirectTx) run(ctx context.Context, turns *turnstile, fn func(*DirectTx) error) (err error) {
	if err := turns.pass(ctx, func() error { _, err := t.Exec("BEGIN IMMEDIATE"); return err }); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	done := false
	defer func() {
		if !done { // an error or a panic of fn; the outcome of a rollback changes nothing
			_, _ = t.Exec("ROLLBACK")
		}
	}()
	if err := fn(t); err != nil {
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

func (t *DirectTx) close() error {
	var errs []error
	for _, st := range t.prepared {
		errs = append(errs, st.Close())
	}
	t.prepared = nil
	return errors.Join(errs...)
}

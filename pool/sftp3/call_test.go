package sftp3

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAnswersOutOfOrder(t *testing.T) {
	c, p := startPeer(t)
	var calls []*Call
	var ids []uint32
	for range 100 {
		calls = append(calls, c.StartLstat("p"))
		ids = append(ids, p.expect(TypeLstat).id)
	}
	if n := c.Outstanding(); n != 100 {
		t.Errorf("%d outstanding", n)
	}
	for i := len(ids) - 1; i >= 0; i-- {
		p.answer(TypeAttrs, ids[i], appendAttrs(nil, Attrs{Flags: AttrSize, Size: uint64(i)}))
	}
	for i, call := range calls {
		a, err := call.WaitAttrs(testContext(t))
		ok(t, err)
		if a.Size != uint64(i) {
			t.Fatalf("call %d has the answer of %d", i, a.Size)
		}
	}
}

// Answers that come byte by byte are answers.
func TestShortPackets(t *testing.T) {
	c, p := startPeer(t)
	call := c.StartReadDir("h")
	data := make([]byte, 5)
	read := make(chan error, 1)
	c.StartRead("h", data, 0, func(n int, err error) { read <- err })
	stream := rawPacket(TypeName, p.expect(TypeReadDir).id, namesBody("a", "../b", "c\x00", ""))
	stream = append(stream, rawPacket(TypeData, p.expect(TypeRead).id, appendString(nil, "12345"))...)
	for i := range stream {
		p.raw(stream[i : i+1])
	}
	names, err := call.WaitNames(testContext(t))
	ok(t, err)
	got := ""
	for _, n := range names {
		got += n.Filename + "|" + n.Longname + "\n"
	}
	if want := "a|long a\n../b|long ../b\nc\x00|long c\x00\n|long \n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	ok(t, <-read)
	if string(data) != "12345" {
		t.Errorf("read %q", data)
	}
}

// A caller that gives up is free at once; the late answer harms nobody.
func TestCancelThenLateAnswer(t *testing.T) {
	c, p := startPeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	call := c.StartStat("p")
	id := p.expect(TypeStat).id
	cancel()
	if _, err := call.WaitAttrs(ctx); err != context.Canceled {
		t.Fatalf("got %v", err)
	}
	if n := c.Outstanding(); n != 1 {
		t.Errorf("%d outstanding", n)
	}
	p.answer(TypeAttrs, id, appendAttrs(nil, Attrs{}))
	other := c.StartRemove("q")
	p.status(p.expect(TypeRemove).id, StatusOK)
	ok(t, other.WaitStatus(testContext(t)))
}

// An answer that is there is given, also to a caller whose context has ended.
func TestAnswerBeatsContext(t *testing.T) {
	c, p := startPeer(t)
	ctx, cancel := context.WithCancel(t.Context())
	call := c.StartOpen("p", OpenRead, Attrs{})
	p.handle(p.expect(TypeOpen).id, "h")
	<-call.ready
	cancel()
	if h, err := call.WaitHandle(ctx); h != "h" || err != nil {
		t.Errorf("got %q, %v", h, err)
	}
}

// Handles that nobody waits for are closed, whenever they come.
func TestLateHandleClosed(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, leave := range map[string]func(p *peer, call *Call, id uint32){
		"cancelled": func(p *peer, call *Call, id uint32) {
			if _, err := call.WaitHandle(ended); err != context.Canceled {
				p.t.Errorf("got %v", err)
			}
			p.handle(id, "late")
		},
		"forgotten": func(p *peer, call *Call, id uint32) {
			call.Forget()
			p.handle(id, "late")
		},
		"forgotten after the answer": func(p *peer, call *Call, id uint32) {
			p.handle(id, "late")
			<-call.ready
			call.Forget()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := startPeer(t)
			call := c.StartOpen("p", OpenRead, Attrs{})
			leave(p, call, p.expect(TypeOpen).id)
			closing := p.expect(TypeClose)
			if h := closing.body.bytes(); string(h) != "late" {
				t.Errorf("closes %q", h)
			}
			p.status(closing.id, StatusOK)
		})
	}
}

// A deferred Forget leaves the handle alone that was waited for.
func TestForgetAfterWait(t *testing.T) {
	c, p := startPeer(t)
	call := c.StartOpen("p", OpenRead, Attrs{})
	p.handle(p.expect(TypeOpen).id, "h")
	_, err := call.WaitHandle(testContext(t))
	ok(t, err)
	call.Forget()
	c.StartRemove("p").Forget()
	p.expect(TypeRemove)
}

// A failure that nobody waits for closes nothing.
func TestLateFailure(t *testing.T) {
	c, p := startPeer(t)
	c.StartOpen("p", OpenRead, Attrs{}).Forget()
	p.status(p.expect(TypeOpen).id, StatusFailure)
	c.StartRemove("p").Forget()
	p.expect(TypeRemove)
}

func TestStatus(t *testing.T) {
	for name, test := range map[string]struct {
		body []byte
		code uint32
		text string
	}{
		"with message": {statusBody(StatusFailure, "no space"), StatusFailure, "sftp: no space (failure)"},
		"old server":   {appendUint32(nil, StatusNoSuchFile), StatusNoSuchFile, "sftp: no such file"},
		"no language":  {appendString(appendUint32(nil, StatusPermissionDenied), "no"), StatusPermissionDenied, "sftp: no (permission denied)"},
		"unknown code": {statusBody(4711, ""), 4711, "sftp: status 4711"},
		"huge code":    {statusBody(1<<32-1, ""), 1<<32 - 1, "sftp: status 4294967295"},
		"control":      {statusBody(StatusFailure, "a\x1b[2J\xff\nb"), StatusFailure, "sftp: a?[2J??b (failure)"},
		"long":         {statusBody(StatusFailure, strings.Repeat("x", 9999)), StatusFailure, "sftp: " + strings.Repeat("x", maxMessage) + " (failure)"},
		"ok":           {statusBody(StatusOK, ""), StatusBadMessage, "sftp: the server answered OK without a result (bad message)"},
	} {
		t.Run(name, func(t *testing.T) {
			c, p := startPeer(t)
			call := c.StartStat("p")
			p.answer(TypeStatus, p.next().id, test.body)
			_, err := call.WaitAttrs(testContext(t))
			wantCode(t, err, test.code)
			if err.Error() != test.text {
				t.Errorf("got %q, want %q", err, test.text)
			}
		})
	}
	if err := error(&StatusError{Code: StatusEOF}); !errors.Is(err, io.EOF) {
		t.Error("StatusEOF is not an io.EOF")
	}
}

func TestSymlinkOrder(t *testing.T) {
	c, p := startPeer(t)
	c.StartSymlink("target", "path").Forget()
	r := p.expect(TypeSymlink)
	if first, second := string(r.body.bytes()), string(r.body.bytes()); first != "target" || second != "path" {
		t.Errorf("sent %q, %q", first, second)
	}
}

// The wrong Wait is an error, not a zero answer.
func TestWrongWait(t *testing.T) {
	c, p := startPeer(t)
	call := c.StartRemove("p")
	p.status(p.next().id, StatusOK)
	if _, err := call.WaitAttrs(testContext(t)); err == nil {
		t.Error("attributes of a REMOVE")
	}
}

// A packet above the server's limit would end the session: it is not sent.
func TestTooLong(t *testing.T) {
	c, _ := startPeer(t)
	wantCode(t, c.StartRemove(strings.Repeat("x", defaultPacket)).WaitStatus(testContext(t)), StatusBadMessage)
	errs := make(chan error)
	c.StartWrite("h", make([]byte, defaultData+1), 0, func(err error) { errs <- err })
	if err := <-errs; err != ErrTooLong {
		t.Errorf("got %v", err)
	}
	if n := c.Outstanding(); n != 0 {
		t.Errorf("%d outstanding", n)
	}
}

// The ring of ids goes round a request that is never answered.
func TestTable(t *testing.T) {
	var tab table
	old := &request{}
	tab.add(old)
	for range 1000 {
		a, b := &request{}, &request{}
		tab.add(a)
		tab.add(b)
		if tab.get(a.id) != a || tab.get(b.id) != b || a.id == old.id || b.id == old.id {
			t.Fatal("not found, or an id given twice")
		}
		tab.remove(a)
		if tab.get(a.id) != nil {
			t.Fatal("found after it was removed")
		}
		tab.remove(b)
	}
	if tab.get(old.id) != old || tab.held != 1 || len(tab.slots) != 16 {
		t.Errorf("held %d in %d slots", tab.held, len(tab.slots))
	}
	for range 100 {
		tab.add(&request{})
	}
	if tab.get(old.id) != old {
		t.Error("lost while growing")
	}
	all := 0
	for r := tab.oldest; r != nil; r = r.newer {
		all++
	}
	if all != 101 || tab.held != 101 || tab.oldest != old {
		t.Errorf("%d in the order of issue, %d held", all, tab.held)
	}
}

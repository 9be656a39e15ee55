package main

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// A put that came while there was no leader hangs until its own end; one that comes later succeeds at once.
func TestAPutThatHangsDoesNotKeepTheNextWaiting(t *testing.T) {
	began := time.Now()
	leaderless := 50 * time.Millisecond
	put := func(limited context.Context) error {
		if time.Since(began) < leaderless {
			<-limited.Done()
			return limited.Err()
		}
		return nil
	}
	if !firstOf(context.Background(), []func(context.Context) error{put}) {
		t.Fatal("no put succeeded")
	}
	if took := time.Since(began); took > leaderless+oneTry/2 {
		t.Fatalf("the leader was found %v after it was there", took-leaderless)
	}
}

func TestNoMoreThanSoManyAreInFlightAndNoneSucceedsAfterItsTime(t *testing.T) {
	var now, most atomic.Int64
	put := func(limited context.Context) error {
		if count := now.Add(1); count > most.Load() {
			most.Store(count)
		}
		defer now.Add(-1)
		<-limited.Done()
		return errors.New("no leader")
	}
	whole, cancel := context.WithTimeout(context.Background(), 3*oneTry)
	defer cancel()
	if firstOf(whole, []func(context.Context) error{put}) {
		t.Fatal("a put succeeded")
	}
	if found := most.Load(); found < 2 || found > inFlight {
		t.Fatalf("%d were in flight, of %d at most", found, inFlight)
	}
}

func TestOneThatWasStoppedIsNotTakenAtItsWord(t *testing.T) {
	for _, one := range []struct {
		said []word
		want bool
	}{
		{[]word{{7, 4}, {7, 4}, {7, 4}}, true},
		{[]word{{7, 4}, {9, 5}, {9, 5}}, false}, // the first was woken this moment
		{[]word{{7, 4}, {7, 4}, {7, 5}}, false},
	} {
		if found := agreed(one.said); found != one.want {
			t.Errorf("%v: %v", one.said, found)
		}
	}
}

// An election of etcd ends a put; the turn says nothing of commits, and whoever asked makes it again.
func TestAPutThatAnElectionEndsDisturbsItsTurnAndIsNoFault(t *testing.T) {
	var puts atomic.Int64
	lost := func(context.Context, int) error {
		if puts.Add(1) > 40 {
			return errors.New("etcdserver: leader changed")
		}
		return nil
	}
	found := commits(order{Callers: 4, Count: 1000, Seconds: 5}, lost)
	if found.Disturbed != "etcdserver: leader changed" || found.Fault != "" || len(found.Us) != 0 {
		t.Fatalf("%+v", found)
	}
	done := func(context.Context, int) error { return nil }
	found = commits(order{Callers: 4, Count: 1000, Seconds: 5}, done)
	if found.Disturbed != "" || found.Commands != 1000 || len(found.Us) != 1000 {
		t.Fatalf("%q, %d puts", found.Disturbed, found.Commands)
	}
}

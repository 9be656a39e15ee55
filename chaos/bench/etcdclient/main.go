// Etcdclient drives an etcd cluster for `meltica bench`, on etcd's own client library.
//
// It reads one JSON object a line from stdin, does what it says, and answers with one line; it ends when stdin does.
//
//	{"do":"wait"}                                      until a leader, and its term, is known and a put is done
//	{"do":"commit","callers":32,"count":20000,"seconds":5,"size":200}
//	{"do":"first","leader":"https://...","term":4}     until a put is done in a newer term, by anybody but that one
//	{"do":"promote","leader":"https://...","term":4}   that one hands over; until a put is done in a newer term
//	{"do":"beat","leader":"https://...","seconds":8}   a put every 100 ms: the longest time without one that was done
//
// A measured put goes over TLS to the leader itself, so that no follower's forwarding is counted; while the next leader
// is waited for every endpoint is asked every few milliseconds, whether those before were answered or not, and the first
// answer counts.  Moments are of the machine's monotonic clock, which all its processes share.
package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

const (
	patience = 30 * time.Second       // for a leader, and for one put of a measurement
	oneTry   = 200 * time.Millisecond // of a put while there may be no leader
	pause    = 2 * time.Millisecond   // between two tries
	inFlight = 128                    // tries at one endpoint that wait for an answer, at most: more than one lasts
	beat     = 100 * time.Millisecond // between two puts of a beat
	oneBeat  = 10 * time.Second       // of such a put
)

// Of which source it was built, as the Makefile counts it; the bench takes no client of another.
var source = ""

type order struct {
	Do      string  `json:"do"`
	Callers int     `json:"callers"`
	Count   int     `json:"count"`
	Seconds float64 `json:"seconds"`
	Size    int     `json:"size"`
	Leader  string  `json:"leader"`
	Term    uint64  `json:"term"`
}

type answer struct {
	Us       []float64 `json:"us,omitempty"`
	Commands int       `json:"commands,omitempty"`
	Seconds  float64   `json:"seconds,omitempty"`
	AtNs     int64     `json:"at_ns,omitempty"`
	GapMs    float64   `json:"gap_ms,omitempty"`
	Terms    []uint64  `json:"terms,omitempty"`
	Leader   string    `json:"leader,omitempty"`
	Term     uint64    `json:"term,omitempty"`
	Fault    string    `json:"fault,omitempty"`

	Disturbed string `json:"disturbed,omitempty"` // by an election: the turn is made again
}

// A cluster as it is seen from here: some connections an endpoint, among which callers are shared out.
type cluster struct {
	endpoints []string
	clients   map[string][]*clientv3.Client
}

func main() {
	endpoints := flag.String("endpoints", "", "addresses, separated by commas")
	ca := flag.String("ca", "", "the authority's certificate")
	cert := flag.String("cert", "", "our certificate")
	key := flag.String("key", "", "its key")
	connections := flag.Int("connections", 1, "connections to each endpoint")
	builtOf := flag.Bool("built-of", false, "say of which source this was built, and end")
	flag.Parse()
	if *builtOf {
		fmt.Println(source)
		return
	}
	found, err := open(strings.Split(*endpoints, ","), *ca, *cert, *key, max(1, *connections))
	if err != nil {
		fmt.Fprintln(os.Stderr, "etcdclient:", err)
		os.Exit(1)
	}
	say(answer{})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var asked order
		if err := json.Unmarshal(lines.Bytes(), &asked); err != nil {
			say(answer{Fault: err.Error()})
			continue
		}
		said, err := found.do(asked)
		if err != nil {
			said = answer{Fault: err.Error()}
		}
		say(said)
	}
}

func say(said answer) {
	text, err := json.Marshal(said)
	if err != nil {
		panic(err) // numbers and text only: it can't
	}
	fmt.Println(string(text))
}

func open(endpoints []string, ca, cert, key string, connections int) (*cluster, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	authority, err := os.ReadFile(ca)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(authority) {
		return nil, errors.New("no certificate in " + ca)
	}
	found := &cluster{endpoints: endpoints, clients: map[string][]*clientv3.Client{}}
	for _, one := range endpoints {
		for range connections {
			client, err := clientv3.New(clientv3.Config{
				Endpoints: []string{one},
				Logger:    zap.NewNop(), // its words about lost connections are no business of the bench
				TLS:       &tls.Config{Certificates: []tls.Certificate{pair}, RootCAs: pool, MinVersion: tls.VersionTLS12},
			})
			if err != nil {
				return nil, err
			}
			found.clients[one] = append(found.clients[one], client)
		}
	}
	return found, nil
}

func (c *cluster) do(asked order) (answer, error) {
	switch asked.Do {
	case "wait":
		leader, term, err := c.wait()
		return answer{Leader: leader, Term: term}, err
	case "commit":
		return c.commit(asked)
	case "first":
		return c.first(asked, false)
	case "promote":
		return c.first(asked, true)
	case "beat":
		return c.beat(asked)
	}
	return answer{}, errors.New("unknown order: " + asked.Do)
}

// wait returns the leader's endpoint and term once all members name it and a put through each of them is done.
func (c *cluster) wait() (string, uint64, error) {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		leader, term, complete := c.look()
		if leader != "" && complete {
			return leader, term, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return "", 0, errors.New("etcd had no leader, or a member that did not answer, for " + patience.String())
}

func (c *cluster) look() (string, uint64, bool) {
	leader, term, said := "", uint64(0), []word{}
	for _, one := range c.endpoints {
		limited, cancel := context.WithTimeout(context.Background(), time.Second)
		status, err := c.clients[one][0].Status(limited, one)
		for _, client := range c.clients[one] {
			if err == nil {
				_, err = client.Put(limited, "warm", one)
			}
		}
		cancel()
		if err != nil {
			return "", 0, false
		}
		said = append(said, word{status.Leader, status.RaftTerm})
		if status.Leader == status.Header.MemberId {
			leader, term = one, status.RaftTerm
		}
	}
	return leader, term, agreed(said)
}

// A member's word of who leads, and in which term.
type word struct{ leader, term uint64 }

// agreed says whether all members name the same: one that was stopped or cut off calls itself the leader until it has
// heard of the next, and a strike at that one measures nothing.
func agreed(said []word) bool {
	for _, one := range said {
		if one != said[0] {
			return false
		}
	}
	return true
}

// commit makes puts at the leader, each caller one after another, until there are enough of them or the time is up.
func (c *cluster) commit(asked order) (answer, error) {
	leader, _, err := c.wait()
	if err != nil {
		return answer{}, err
	}
	clients, value := c.clients[leader], strings.Repeat("x", asked.Size)
	keys := make([]string, asked.Callers)
	for caller := range keys {
		keys[caller] = fmt.Sprintf("key-%d", caller)
	}
	return commits(asked, func(limited context.Context, caller int) error {
		_, err := clients[caller%len(clients)].Put(limited, keys[caller], value)
		return err
	}), nil
}

// commits is the same of any put.  One that fails disturbs all of it, as an election does: some took longer for that.
func commits(asked order, put func(limited context.Context, caller int) error) answer {
	began := time.Now()
	end := began.Add(time.Duration(asked.Seconds * float64(time.Second)))
	var taken atomic.Int64
	var waiting sync.WaitGroup
	took := make([][]float64, asked.Callers)
	faults := make([]error, asked.Callers)
	for caller := range took {
		waiting.Add(1)
		go func() {
			defer waiting.Done()
			for taken.Add(1) <= int64(asked.Count) && time.Now().Before(end) {
				limited, cancel := context.WithTimeout(context.Background(), patience)
				start := time.Now()
				err := put(limited, caller)
				elapsed := time.Since(start)
				cancel()
				if err != nil {
					faults[caller] = err
					return
				}
				took[caller] = append(took[caller], float64(elapsed.Nanoseconds())/1e3)
			}
		}()
	}
	waiting.Wait()
	found := answer{Seconds: time.Since(began).Seconds()}
	for caller := range took {
		if faults[caller] != nil {
			return answer{Disturbed: faults[caller].Error()}
		}
		found.Us = append(found.Us, took[caller]...)
	}
	found.Commands = len(found.Us)
	return found
}

// first puts until one is done in a newer term than the leader's; move: the leader hands over, and is asked too.
func (c *cluster) first(asked order, move bool) (answer, error) {
	limited, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if move {
		go c.move(limited, asked.Leader)
	}
	var puts []func(context.Context) error
	for _, one := range c.endpoints {
		if one != asked.Leader || move {
			client := c.clients[one][0]
			puts = append(puts, func(limited context.Context) error {
				done, err := client.Put(limited, "first", "x")
				if err == nil && done.Header.RaftTerm <= asked.Term {
					err = errors.New("by the old leader")
				}
				return err
			})
		}
	}
	firstOf(limited, puts) // late where none is done, and a figure all the same
	return answer{AtNs: now()}, nil
}

// move has the leader hand over to another member, asked again until it does.
func (c *cluster) move(limited context.Context, leader string) {
	for _, one := range c.endpoints {
		if one == leader {
			continue
		}
		status, err := c.clients[one][0].Status(limited, one)
		for err == nil && limited.Err() == nil {
			if _, moved := c.clients[leader][0].MoveLeader(limited, status.Header.MemberId); moved == nil {
				return
			}
			time.Sleep(pause)
		}
	}
}

// beat puts at the leader at a steady pace, whether the last was answered or not.
func (c *cluster) beat(asked order) (answer, error) {
	var lock sync.Mutex
	var waiting sync.WaitGroup
	client, began := c.clients[asked.Leader][0], time.Now()
	end := began.Add(time.Duration(asked.Seconds * float64(time.Second)))
	last, longest, terms := began, time.Duration(0), []uint64{}
	put := func() {
		defer waiting.Done()
		limited, cancel := context.WithTimeout(context.Background(), oneBeat)
		defer cancel()
		done, err := client.Put(limited, "beat", "x")
		lock.Lock()
		defer lock.Unlock()
		if at := time.Now(); err == nil && at.Before(end) {
			longest, last = max(longest, at.Sub(last)), at
			if term := done.Header.RaftTerm; !slices.Contains(terms, term) {
				terms = append(terms, term)
			}
		}
	}
	for due := began; due.Before(end); due = due.Add(beat) {
		time.Sleep(time.Until(due))
		waiting.Add(1)
		go put()
	}
	time.Sleep(time.Until(end))
	waiting.Wait()
	return answer{GapMs: float64(max(longest, end.Sub(last)).Nanoseconds()) / 1e6, Terms: terms}, nil
}

// now is the machine's monotonic clock, in nanoseconds.
func now() int64 {
	var at unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &at); err != nil {
		panic(err) // it is always there
	}
	return at.Nano()
}

// firstOf puts at all endpoints every few milliseconds until one put succeeds; false if none did in time.
//
// No try waits for the one before: a put that came before there was a leader may be answered only at its own end, and
// who waited for it would find the leader that much later.
func firstOf(whole context.Context, puts []func(context.Context) error) bool {
	whole, stop := context.WithCancel(whole)
	defer stop()
	done := make(chan struct{}, 1)
	for _, put := range puts {
		go keepPutting(whole, put, done)
	}
	select {
	case <-done:
		return true
	case <-whole.Done():
		return false
	}
}

func keepPutting(whole context.Context, put func(context.Context) error, done chan<- struct{}) {
	free := make(chan struct{}, inFlight)
	ticks := time.NewTicker(pause)
	defer ticks.Stop()
	for {
		select {
		case free <- struct{}{}:
			go func() {
				defer func() { <-free }()
				limited, cancel := context.WithTimeout(whole, oneTry)
				defer cancel()
				if put(limited) == nil {
					select {
					case done <- struct{}{}:
					default: // another was first
					}
				}
			}()
		default: // too many wait: this one is left out
		}
		select {
		case <-ticks.C:
		case <-whole.Done():
			return
		}
	}
}

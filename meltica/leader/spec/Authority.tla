------------------------------- MODULE Authority -------------------------------
(* Authority and hand-over, as meltica/leader, meltica/core and cluster do it. *)
(*                                                                             *)
(* One noun: the right to send.  Raft is here only as far as authority rests   *)
(* on it: who may win, what a follower appends, what a majority has.  Actions  *)
(* and operators are named as in the code; DESIGN.md, "Specification", has the *)
(* table of both, and says where they differ.                                  *)
(*                                                                             *)
(* Time passes in ticks of the venue's clock and is kept as ages.  A node's    *)
(* own clock may read anything from slow * k to fast * k after k ticks, unit *  *)
(* k being right; ages stop where nothing depends on them any more.              *)
(*                                                                             *)
(* A process may stop anywhere for any time, and a frame may be late or lost:  *)
(* no step is ever forced, and what the leader of a term ever sent (`sent`)    *)
(* may be received at any later time.                                          *)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS
  Nodes, First, None,   \* three members; the leader of term 1; nobody
  Cases                 \* what is checked, each with an id: see below

(* A case says within which bounds, on which clocks, and what is broken on purpose. *)
(*   terms, intents    bounds                                                       *)
(*   others            entries that order no send (a fill, a checkpoint)            *)
(*   wiped             disks lost, in a broken protocol                             *)
(*   windows           what the policy in the log may say of W as an epoch starts   *)
(*   cancels           the intents that only cancel; {}: automatic mode             *)
(*   handover          whether a leader may hand over                               *)
(*   mandate           ticks without a majority before it; 0: none                  *)
(*   unit, slow, fast  what a right, the slowest, the fastest clock read in a tick  *)
(*   venue             of "deadline": it refuses what is late; "delay": requests    *)
(*                     may be late                                                  *)
(*   process           of "pause": between check and write; "restart"; "disk":      *)
(*                     syncs are steps of their own, a restart loses what was not   *)
(*                     synced; "eager": a leader proposes whatever it holds;        *)
(*                     "suspend": the machine may stand still, its clock with it    *)
(*   broken            "" is the protocol                                           *)
(*   expect            what is looked for: properties that this must violate, or    *)
(*                     what must be reachable; {}: nothing may be violated          *)

VARIABLES
  case,                 \* which of Cases: it never changes
  term, leads, log,     \* of each node: its term, whether it leads in it, its log
  sent, leader,         \* of each term: its leader's log, its leader
  committed,            \* of each term: how far a majority has that log
  synced, acked,        \* "disk": what of a log is durable; what was acknowledged
  wiped,                \* how many disks were lost
  newest,               \* the newest term that anyone won
  window,               \* of each epoch: the W that its EpochStarted took
  seen,                 \* of each node and intent: ticks since it was appended there
  intent,               \* [ep, at, orders, st, age]: its entry's place; whether apply orders
                        \* its send; what became of it; ticks since s
  shut,                 \* epochs whose leader shut its gate for good
  quiet,                \* ticks since the node led, having been active; NEVER: it has no mandate
  others,               \* entries that ordered nothing, so far
  viol                  \* the properties that were violated

raft == <<case, term, leads, log, sent, leader, committed, synced, acked, wiped, newest, window>>
vars == <<case, term, leads, log, sent, leader, committed, synced, acked, wiped, newest,
          window, seen, intent, shut, quiet, others, viol>>

C == case
Terms == 1 .. C.terms
Ids == 1 .. C.intents
(* What an entry holds, besides an intent's number. *)
STARTED == 0   TAKEN == 101   TAKEN_FOR_CANCELS == 102   RELEASED == 103   BARE == 104
(* What became of an intent.  HELD: past the gate and not written; SENT: written. *)
FREE == 0   PROPOSED == 1   HELD == 2   SENT == 3   ADMITTED == 4   OVER == 5
NEVER == -1

Deadline == "deadline" \in C.venue   Delay == "delay" \in C.venue
Pause == "pause" \in C.process   Restarts == "restart" \in C.process
Disk == "disk" \in C.process   Eager == "eager" \in C.process
Mandated == C.mandate > 0   Manual == C.cancels # {}
Bug(name) == C.broken = name

Most(S) == CHOOSE x \in S : \A y \in S : y <= x
Least(a, b) == IF a <= b THEN a ELSE b
Over(a, b) == (a + b - 1) \div b          \* a / b, rounded up
In(s, e) == \E i \in DOMAIN s : s[i] = e

-----------------------------------------------------------------------------
(* Clocks and windows: meltica/leader/authority.py *)

Stretched(w) ==
  IF Bug("DriftIgnored") THEN w * C.unit
  ELSE IF Bug("DriftOfEachClock") THEN w * C.fast
  ELSE Over(w * C.unit * C.fast, C.slow)
WindowOf(e) == window[e]
Fast(k) == C.fast * k                       \* the most that a clock may read
Slow(k) == IF "suspend" \in C.process THEN 0 ELSE C.slow * k
Long == Over(Over(Most(C.windows) * C.unit * C.fast, C.slow), C.fast)
Quite == Over(C.mandate * C.unit, C.fast)  \* enough of quiet

(* The venue's deadline check, and the last look at the gate: strictly before s + W. *)
Late(x, age) == IF Bug("TieSends") THEN age > WindowOf(intent[x].ep)
                                   ELSE age >= WindowOf(intent[x].ep)
TooLate(x, age) == IF Bug("TieSends") THEN Slow(age) > WindowOf(intent[x].ep) * C.unit
                                      ELSE Slow(age) >= WindowOf(intent[x].ep) * C.unit

-----------------------------------------------------------------------------
(* The log, and what apply makes of it: meltica/core *)

Entry(x) == <<intent[x].ep, x>>
Holds(s, x) == LET i == intent[x] IN i.at # 0 /\ i.at <= Len(s) /\ s[i.at] = <<i.ep, x>>
Known(n, x) == Holds(log[n], x)
Used == 1 .. newest

(* Whether an entry for x, appended to s in term t, orders a send: turn.may_submit, may_cancel. *)
(* What stands before it decides, so this is the same on every node that ever applies it.     *)
Orders(s, t, x) ==
  /\ \/ In(s, <<t, TAKEN>>)
     \/ In(s, <<t, TAKEN_FOR_CANCELS>>) /\ (x \in C.cancels \/ Bug("PromoteIgnored"))
     \/ Bug("LeadingIsEnough")
  /\ ~In(s, <<t, RELEASED>>) \/ Bug("ReopenAfterRelease")

HasTaken(s, t) == In(s, <<t, TAKEN>>) \/ In(s, <<t, TAKEN_FOR_CANCELS>>)
(* Applied: within what is committed of its own term. *)
Applied(t, e) == \E i \in 1 .. committed[t] : sent[t][i] = e
TakenApplied(t) == Applied(t, <<t, TAKEN>>) \/ Applied(t, <<t, TAKEN_FOR_CANCELS>>)
IsActive(n) == leads[n] /\ TakenApplied(term[n]) /\ term[n] \notin shut
LastActive(n) == leads[n] /\ TakenApplied(term[n])   \* or was it, until it released and nobody followed

-----------------------------------------------------------------------------
(* Replication: cluster *)

(* The longest common beginning: by log matching, up to the last equal entry. *)
RECURSIVE Back(_, _, _)
Back(a, b, i) == IF i = 0 THEN 0 ELSE IF a[i] = b[i] THEN i ELSE Back(a, b, i - 1)
Matched(n, t) == Back(log[n], sent[t], Least(Len(log[n]), Len(sent[t])))
LastTerm(s) == IF s = <<>> THEN 0 ELSE s[Len(s)][1]
Ahead(c, v) == \/ LastTerm(log[c]) > LastTerm(log[v])
               \/ LastTerm(log[c]) = LastTerm(log[v]) /\ Len(log[c]) >= Len(log[v])
Durable(n) == Disk => synced[n] = Len(log[n])

(* The commit rule: an entry of the term itself, on two of three. *)
CommitOf(t, s, row) ==
  Most({committed[t]} \cup {i \in DOMAIN s : s[i][1] = t
                              /\ Cardinality({n \in Nodes : row[n] >= i}) >= 2})

(* Nothing of this node is sent any more that was not handed over yet. *)
Discard(n) == [x \in Ids |->
  IF intent[x].st = PROPOSED /\ leads[n] /\ intent[x].ep = term[n]
  THEN [intent[x] EXCEPT !.st = OVER, !.age = 0] ELSE intent[x]]
Killed(n) == [x \in Ids |->
  IF intent[x].st \in {PROPOSED, HELD} /\ leader[intent[x].ep] = n
  THEN [intent[x] EXCEPT !.st = OVER, !.age = 0] ELSE intent[x]]

(* AppliedEntry.appended, as Sends.ordered keeps it: of what stands behind `from` in s, now. *)
AppendedAt(n, s, from, t) == [x \in Ids |->
  IF Bug("WaitFromMissed") THEN seen[n][x]
  ELSE IF ~Holds(s, x) THEN Long
  ELSE IF intent[x].at <= from THEN seen[n][x]
  ELSE IF Bug("ReplicatedNotCounted") /\ intent[x].ep < t THEN Long
  ELSE 0]

(* Won, and EpochStarted proposed: between the two a leader can do nothing that it can't after. *)
(* The candidate and the one that votes for it were silent until then.                         *)
StartEpoch(c, v) ==
  LET t == newest + 1 IN
  /\ newest < C.terms /\ c # v /\ Ahead(c, v)
  /\ Durable(c) /\ Durable(v)             \* a vote and its request leave once synced
  /\ \A x \in Ids : seen[c][x] # NEVER
  /\ log' = [log EXCEPT ![c] = Append(@, <<t, STARTED>>)]
  /\ sent' = [sent EXCEPT ![t] = log'[c]]
  /\ leader' = [leader EXCEPT ![t] = c]
  /\ newest' = t
  /\ term' = [term EXCEPT ![c] = t, ![v] = t]
  /\ leads' = [leads EXCEPT ![c] = TRUE, ![v] = FALSE]
  /\ \E w \in C.windows : window' = [window EXCEPT ![t] = w]
  /\ intent' = [x \in Ids |-> IF Discard(c)[x] # intent[x] THEN Discard(c)[x] ELSE Discard(v)[x]]
  /\ quiet' = [n \in Nodes |-> IF Mandated /\ n \in {c, v} /\ LastActive(n) THEN 0 ELSE quiet[n]]
  /\ UNCHANGED <<case, committed, synced, acked, wiped, seen, shut, others, viol>>

(* A follower appends up to m of what the leader of t sent; a conflicting tail goes. *)
(* Without "disk" it syncs and acknowledges in the same step.                        *)
Appended(f, t, from, m) ==
  /\ log' = [log EXCEPT ![f] = SubSeq(sent[t], 1, m)]
  /\ term' = [term EXCEPT ![f] = t]
  /\ leads' = [leads EXCEPT ![f] = FALSE]
  /\ seen' = [seen EXCEPT ![f] = AppendedAt(f, SubSeq(sent[t], 1, m), from, t)]
  /\ intent' = Discard(f)
  /\ quiet' = [quiet EXCEPT ![f] = NEVER]   \* mandate.newer: another leads
  /\ IF Disk
     THEN /\ synced' = [synced EXCEPT ![f] = Least(@, from)]
          /\ acked' = IF Bug("AckBeforeSync") THEN [acked EXCEPT ![t][f] = m] ELSE acked
          /\ committed' = [committed EXCEPT ![t] = CommitOf(t, sent[t], acked'[t])]
     ELSE /\ UNCHANGED <<synced, acked>>
          /\ committed' = IF sent[t][m][1] = t
                          THEN [committed EXCEPT ![t] = Most({@, m})] ELSE committed
  /\ UNCHANGED <<case, sent, leader, wiped, newest, window, shut, others, viol>>

Synced(n) ==
  LET t == term[n] IN
  /\ Disk /\ synced[n] # Len(log[n])
  /\ synced' = [synced EXCEPT ![n] = Len(log[n])]
  /\ acked' = IF Matched(n, t) = Len(log[n])
              THEN [acked EXCEPT ![t][n] = Most({@, Len(log[n])})] ELSE acked
  /\ committed' = [committed EXCEPT ![t] = CommitOf(t, sent[t], acked'[t])]
  /\ UNCHANGED <<case, term, leads, log, sent, leader, wiped, newest, window, seen, intent, shut,
                 quiet, others, viol>>

(* The process ends and starts again.  Of what was not synced any beginning survives. *)
Restart(n) ==
  /\ Restarts
  /\ \E m \in (IF Disk THEN synced[n] .. Len(log[n]) ELSE {Len(log[n])}) :
       /\ log' = [log EXCEPT ![n] = SubSeq(@, 1, m)]
       /\ synced' = IF Disk THEN [synced EXCEPT ![n] = m] ELSE synced
       /\ seen' = [seen EXCEPT ![n] = [x \in Ids |->
            IF Bug("RestartForgetsWait") \/ ~Holds(SubSeq(log[n], 1, m), x)
            THEN Long ELSE 0]]
  /\ leads' = [leads EXCEPT ![n] = FALSE]
  /\ intent' = Killed(n)
  /\ quiet' = [quiet EXCEPT ![n] = NEVER]
  /\ UNCHANGED <<case, term, sent, leader, committed, acked, wiped, newest, window, shut, others, viol>>

(* A leader without answers from a majority steps down (the fallback). *)
StepDown(n) ==
  /\ Mandated /\ leads[n]
  /\ leads' = [leads EXCEPT ![n] = FALSE]
  /\ intent' = Discard(n)
  /\ quiet' = IF LastActive(n) THEN [quiet EXCEPT ![n] = 0] ELSE quiet
  /\ UNCHANGED <<case, term, log, sent, leader, committed, synced, acked, wiped, newest, window, seen,
                 shut, others, viol>>

(* A leader appends.  One that a majority has left commits nothing more: left out. *)
MayAppend(n) == leads[n] /\ (term[n] = newest \/ Bug("SendBeforeCommit"))
Append_(n, what, seen_) ==
  LET t == term[n] IN
  /\ log' = [log EXCEPT ![n] = Append(@, <<t, what>>)]
  /\ sent' = [sent EXCEPT ![t] = log'[n]]
  /\ seen' = seen_
  /\ acked' = IF Disk /\ Bug("AckBeforeSync")
              THEN [acked EXCEPT ![t][n] = Len(log'[n])] ELSE acked
  /\ committed' = IF Disk THEN [committed EXCEPT ![t] = CommitOf(t, sent'[t], acked'[t])]
                  ELSE committed
  /\ UNCHANGED <<case, term, leads, leader, synced, wiped, newest, window, quiet>>

-----------------------------------------------------------------------------
(* Takeover: meltica/leader/takeover.py *)

Older(t) == {sent[t][i][1] : i \in DOMAIN sent[t]} \ {t}
Relieved(t) ==
  IF Bug("AnyReleaseRelieves") THEN \E e \in Older(t) : In(sent[t], <<e, RELEASED>>)
  ELSE In(sent[t], <<Most(Older(t)), RELEASED>>)

(* wait_over_at: each send that an older epoch ordered, with the window of that epoch.  The  *)
(* code waits also for those that the venue can't take any more, as it can't know them: the  *)
(* model may do more than the code, and forgets their ages.                                  *)
Live(x) == intent[x].st \in {PROPOSED, HELD, SENT}
WaitOver(n) ==
  LET t == term[n] IN
  \A x \in Ids :
    (Live(x) /\ intent[x].ep < t /\ intent[x].orders /\ Known(n, x))
    => Fast(seen[n][x]) >= Stretched(WindowOf(IF Bug("OwnWindow") THEN t ELSE intent[x].ep))

MaySendYet(n) == Bug("NoWait") \/ Older(term[n]) = {} \/ Relieved(term[n]) \/ WaitOver(n)

(* The venue may yet take it. *)
May(x) == \/ intent[x].st \in {HELD, SENT}
          \/ /\ intent[x].st = PROPOSED
             /\ intent[x].at <= committed[intent[x].ep]

(* AuthorityTaken is proposed; for cancels alone first, where the mode is manual. *)
TakeAuthority(n, what) ==
  LET t == term[n] IN
  /\ MayAppend(n) /\ Applied(t, <<t, STARTED>>)
  /\ t \notin shut
  /\ ~In(log[n], <<t, TAKEN>>) /\ ~In(log[n], <<t, what>>)
  /\ Manual => (what = TAKEN => TakenApplied(t))      \* a promote comes later, if it comes
  /\ MaySendYet(n)
  /\ Append_(n, what, seen)
  /\ viol' = viol \cup
       (IF \E x \in Ids : /\ intent[x].ep < t /\ ~Known(n, x)
                          /\ (May(x) \/ intent[x].st = ADMITTED)
        THEN {"P4Known"} ELSE {})
  /\ UNCHANGED <<intent, shut, others>>

(* A read of the successor's shows nothing: absence, if it was begun late enough. *)
LimitOver(n, x) == Fast(IF leader[intent[x].ep] = n THEN intent[x].age ELSE seen[n][x])
                     >= Stretched(WindowOf(intent[x].ep))
NotFound(n, x) ==
  LET t == term[n] IN
  /\ MayAppend(n) /\ Applied(t, <<t, STARTED>>) /\ intent[x].ep < t
  /\ May(x) /\ intent[x].orders /\ Known(n, x)
  /\ LimitOver(n, x) \/ Bug("EarlyReadIsAbsence")
  /\ viol' = viol \cup {"Absent"}          \* it may still be admitted
  /\ UNCHANGED <<raft, seen, intent, shut, quiet, others>>

-----------------------------------------------------------------------------
(* Sending: desk.propose, dispatch, and the port's last look at the gate *)

(* s is taken before the append: age 0.  "eager": whatever the leader holds for itself. *)
Propose(n, x) ==
  LET t == term[n] IN
  /\ MayAppend(n)
  /\ \/ IsActive(n) \/ Eager \/ Bug("LeadingIsEnough")
     \/ (Bug("ReopenAfterRelease") /\ In(log[n], <<t, RELEASED>>))
  /\ intent[x].st = FREE /\ \A y \in Ids : y < x => intent[y].st # FREE
  /\ intent' = [intent EXCEPT ![x] =
       [ep |-> t, at |-> Len(log[n]) + 1, orders |-> Orders(log[n], t, x),
        st |-> PROPOSED, age |-> 0]]
  /\ Append_(n, x, [seen EXCEPT ![n][x] = IF Bug("WaitFromMissed") THEN @ ELSE 0])
  /\ UNCHANGED <<shut, others, viol>>

Other(n) ==
  /\ MayAppend(n) /\ others < C.others
  /\ others' = others + 1
  /\ Append_(n, BARE, seen)
  /\ UNCHANGED <<intent, shut, viol>>

(* authority.why_shut says "". *)
GateOpen(x) ==
  LET t == intent[x].ep
      n == leader[t] IN
  /\ leads[n] /\ term[n] = t
  /\ intent[x].at <= committed[t] \/ Bug("SendBeforeCommit")
  /\ intent[x].orders
  /\ \/ t \notin shut
     \/ (Bug("ReopenAfterRelease") /\ In(sent[t], <<t, RELEASED>>))
     \/ Bug("GateShutsLate")
  /\ ~TooLate(x, intent[x].age)

(* What the venue's taking of x violates. *)
Wrong(x) ==
  LET e == intent[x].ep
      i == intent[x].at
      copies == {n \in Nodes : Known(n, x)} IN
  (IF \E y \in Ids : intent[y].st = ADMITTED /\ intent[y].ep > e THEN {"P1"} ELSE {})
  \cup (IF i > committed[e] \/ Cardinality(copies) < 2 THEN {"P2"} ELSE {})
  \cup (IF \E t \in Terms : t > e /\ HasTaken(sent[t], t) THEN {"P4Quiet"} ELSE {})
  \cup (IF \E t \in Terms : t >= e /\ Applied(t, <<t, RELEASED>>) THEN {"P5"} ELSE {})
  \cup (IF x \notin C.cancels /\ ~In(SubSeq(sent[e], 1, i), <<e, TAKEN>>)
           /\ ~Bug("LeadingIsEnough") THEN {"InFull"} ELSE {})

Become(x, st, age) ==
  /\ intent' = [intent EXCEPT ![x].st = st, ![x].age = age]
  /\ viol' = IF st = ADMITTED THEN viol \cup Wrong(x) ELSE viol
  /\ UNCHANGED <<raft, seen, shut, quiet, others>>
Written(x, age) == IF Delay THEN Become(x, SENT, age) ELSE Become(x, ADMITTED, 0)

(* Dispatch.applied: at once on apply; the port looks again as it writes. *)
Send(x) ==
  /\ intent[x].st = PROPOSED /\ GateOpen(x)
  /\ IF Pause THEN Become(x, HELD, intent[x].age) ELSE Written(x, intent[x].age)
Write(x) ==
  /\ intent[x].st = HELD
  /\ Written(x, IF Bug("DeadlineFromWrite") THEN 0 ELSE intent[x].age)
Admit(x) == intent[x].st = SENT /\ Become(x, ADMITTED, 0)

-----------------------------------------------------------------------------
(* Hand-over: meltica/leader/handover.py *)

(* The gate shuts for good; what was not sent lapses. *)
Drain(n) ==
  LET t == term[n] IN
  /\ C.handover /\ MayAppend(n) /\ t \notin shut
  /\ \/ TakenApplied(t)
     \/ (Bug("ReleaseWhileWaiting") /\ Applied(t, <<t, STARTED>>))
  /\ shut' = shut \cup {t}
  /\ intent' = IF Bug("GateShutsLate") THEN intent ELSE Discard(n)
  /\ UNCHANGED <<raft, seen, quiet, others, viol>>

(* Dispatch.drained_at: answered by the venue, or past its deadline by its own clock. *)
Drained(n) ==
  \A x \in Ids :
    \/ leader[intent[x].ep] # n \/ intent[x].st \notin {HELD, SENT}
    \/ Bug("ReleaseInFlight")
    \/ (Bug("UnknownIsAnswer") /\ intent[x].st = SENT)
    \/ Fast(intent[x].age) >= (IF Bug("DrainWithoutDrift") THEN WindowOf(intent[x].ep) * C.unit
                               ELSE Stretched(WindowOf(intent[x].ep)))
(* Its own proposals may be outstanding: the code waits for those made up to the end of the drain, and needs not. *)
ReleaseAuthority(n) ==
  LET t == term[n] IN
  /\ MayAppend(n) /\ t \in shut
  /\ ~In(log[n], <<t, RELEASED>>)
  /\ Drained(n)
  /\ Append_(n, RELEASED, seen)
  /\ UNCHANGED <<intent, shut, others, viol>>

-----------------------------------------------------------------------------
(* Mandate: meltica/leader/mandate.py.  It changes nothing here: an order less is no harm. *)

MandateCancel(n, x) ==
  LET mine == {t \in Used : leader[t] = n}
      e == IF mine = {} THEN 0 ELSE Most(mine)
      last == e > 0 /\ quiet[n] # NEVER
      long == Fast(quiet[n]) >= C.mandate * C.unit IN
  /\ Mandated /\ intent[x].st = ADMITTED
  /\ Known(n, x) \/ Bug("MandateCancelsAll")
  /\ last \/ Bug("MandateByStandby")
  /\ long \/ Bug("MandateAtOnce") \/ ~last
  /\ viol' = viol \cup (IF last /\ long /\ intent[x].ep <= e THEN {} ELSE {"Mandate"})
  /\ UNCHANGED <<raft, seen, intent, shut, quiet, others>>

-----------------------------------------------------------------------------
(* Time *)

Aged(x) ==
  LET i == intent[x]
      older == [i EXCEPT !.age = Least(@ + 1, Long)]
      over == [i EXCEPT !.st = OVER, !.age = 0]
      refused == Deadline /\ Late(x, i.age + 1) IN
  CASE i.st = PROPOSED ->
         IF Bug("SAtCommit") THEN i
         ELSE IF TooLate(x, i.age + 1) \/ (refused /\ ~Bug("DeadlineFromWrite")) THEN over
         ELSE older
    [] i.st = HELD -> IF Bug("DeadlineFromWrite") THEN i ELSE IF refused THEN over ELSE older
    [] i.st = SENT -> IF refused THEN over ELSE older
    [] i.st \in {FREE, ADMITTED, OVER} -> i
Tick ==
  /\ seen' = [n \in Nodes |-> [x \in Ids |->
       IF seen[n][x] = NEVER THEN NEVER ELSE Least(seen[n][x] + 1, Long)]]
  /\ intent' = [x \in Ids |-> Aged(x)]
  /\ quiet' = [n \in Nodes |-> IF quiet[n] = NEVER THEN NEVER
                               ELSE IF leads[n] THEN 0 ELSE Least(quiet[n] + 1, Quite)]
  /\ UNCHANGED <<raft, shut, others, viol>>

-----------------------------------------------------------------------------
(* Steps of a broken protocol alone *)

(* The wait counts from the moment at which the leader was missed. *)
Missed(n) ==
  /\ Bug("WaitFromMissed") /\ ~leads[n]
  /\ seen' = [seen EXCEPT ![n] = [x \in Ids |-> 0]]
  /\ UNCHANGED <<raft, intent, shut, quiet, others, viol>>
(* A new leader sends what its log holds of older epochs. *)
SendOlder(n, x) ==
  /\ Bug("OlderIntentsSent") /\ IsActive(n)
  /\ intent[x].st = ADMITTED /\ intent[x].ep < term[n] /\ Known(n, x)
  /\ viol' = viol \cup {"P3"}
  /\ UNCHANGED <<raft, seen, intent, shut, quiet, others>>
(* A disk is lost, and its node comes back as itself. *)
Wipe(n) ==
  /\ wiped < C.wiped
  /\ wiped' = wiped + 1
  /\ log' = [log EXCEPT ![n] = <<>>]
  /\ term' = [term EXCEPT ![n] = 0]
  /\ leads' = [leads EXCEPT ![n] = FALSE]
  /\ seen' = [seen EXCEPT ![n] = [x \in Ids |-> Long]]
  /\ intent' = Killed(n)
  /\ quiet' = [quiet EXCEPT ![n] = NEVER]
  /\ UNCHANGED <<case, sent, leader, committed, synced, acked, newest, window, shut, others, viol>>

-----------------------------------------------------------------------------
(* Term 1 leads, and has taken authority. *)
Begun == << <<1, STARTED>>, <<1, TAKEN>> >>
Init ==
  /\ case \in Cases
  /\ term = [n \in Nodes |-> 1]
  /\ leads = [n \in Nodes |-> n = First]
  /\ log = [n \in Nodes |-> Begun]
  /\ sent = [t \in Terms |-> IF t = 1 THEN Begun ELSE <<>>]
  /\ leader = [t \in Terms |-> IF t = 1 THEN First ELSE None]
  /\ committed = [t \in Terms |-> IF t = 1 THEN 2 ELSE 0]
  /\ synced = [n \in Nodes |-> IF Disk THEN 2 ELSE 0]
  /\ acked = [t \in Terms |-> [n \in Nodes |-> IF Disk /\ t = 1 THEN 2 ELSE 0]]
  /\ wiped = 0 /\ newest = 1
  /\ window \in [Terms -> {0} \cup C.windows] /\ \A t \in Terms : (window[t] # 0) = (t = 1)
  /\ seen = [n \in Nodes |-> [x \in Ids |-> IF Bug("WaitFromMissed") THEN NEVER ELSE Long]]
  /\ intent = [x \in Ids |-> [ep |-> 1, at |-> 0, orders |-> FALSE, st |-> FREE, age |-> 0]]
  /\ shut = {} /\ others = 0 /\ viol = {}
  /\ quiet = [n \in Nodes |-> NEVER]

Next ==
  \/ Tick
  \/ \E n \in Nodes :
       \/ TakeAuthority(n, TAKEN) \/ (Manual /\ TakeAuthority(n, TAKEN_FOR_CANCELS))
       \/ Drain(n) \/ ReleaseAuthority(n) \/ Other(n)
       \/ Synced(n) \/ Restart(n) \/ StepDown(n) \/ Missed(n) \/ Wipe(n)
       \/ \E m \in Nodes : StartEpoch(n, m)
       \/ \E t \in Used :
            /\ term[n] <= t /\ leader[t] # n
            /\ LET from == Matched(n, t) IN
                 \E m \in from + 1 .. Len(sent[t]) : Appended(n, t, from, m)
       \/ \E x \in Ids : \/ Propose(n, x) \/ NotFound(n, x)
                         \/ MandateCancel(n, x) \/ SendOlder(n, x)
  \/ \E x \in Ids : Send(x) \/ Write(x) \/ Admit(x)

Spec == Init /\ [][Next]_vars

Symmetry == Permutations(Nodes \ {First})
(* Nobody looks again at the wait of a node that can't win a term any more, nor at that for *)
(* a send that is not live.                                                                 *)
Looked(n) == IF leader[C.terms] \notin {None, n} THEN <<>>
             ELSE [x \in Ids |-> IF Bug("WaitFromMissed") \/ Live(x) THEN seen[n][x] ELSE 0]
View == <<raft, intent, shut, quiet, others, viol, [n \in Nodes |-> Looked(n)]>>

-----------------------------------------------------------------------------
(* Properties: recorded as the venue takes a request, or at the step they speak of *)

P1 == "P1" \notin viol              \* accepted requests never go back in epoch
P2 == "P2" \notin viol              \* accepted: committed, in its own epoch, by a majority
P3 == "P3" \notin viol              \* accepted at most once
P4Known == "P4Known" \notin viol    \* who takes authority knows all that is older
P4Quiet == "P4Quiet" \notin viol    \* and nothing older is accepted from then on
P5 == "P5" \notin viol              \* nothing of a released epoch, or older, after its release
Absent == "Absent" \notin viol      \* what was concluded absent is not accepted later
Mandate == "Mandate" \notin viol    \* only the last active node, late enough, only what is its own
InFull == "InFull" \notin viol      \* no order before its epoch is taken in full

(* What of Raft all this rests on, shown of this model. *)
LeaderCompleteness == C.broken = "" =>
  \A e, t \in Used : e < t =>
    /\ Len(sent[t]) >= committed[e]
    /\ \A i \in 1 .. committed[e] : sent[t][i] = sent[e][i]

(* Reachable, or the rest says little. *)
HandedOver == \E t \in Used :     \* a release spared a wait, after trading
  t > 1 /\ TakenApplied(t) /\ Relieved(t) /\ \E x \in Ids : intent[x].st = ADMITTED /\ intent[x].ep < t
Overlap ==                        \* a deposed leader's order is accepted beside a newer leader
  \E x \in Ids : /\ intent[x].st = ADMITTED /\ intent[x].ep < newest
                 /\ leads[leader[intent[x].ep]] /\ committed[newest] > 0
Traded == \A t \in Terms : \E x \in Ids : intent[x].ep = t /\ intent[x].st = ADMITTED
Reached == (IF HandedOver THEN {"HandedOver"} ELSE {}) \cup (IF Overlap THEN {"Overlap"} ELSE {})
           \cup (IF Traded THEN {"Traded"} ELSE {})

-----------------------------------------------------------------------------
(* Running: a case alone stops at the first state with a hit, and TLC shows the way there. *)
Hits == IF C.expect = {} THEN viol ELSE C.expect \cap (viol \cup Reached)
Nothing == Hits = {}

(* Many cases in one run: a hit is said once and not gone on from; a case that has all that *)
(* it expects is done with.  Needs one worker.                                              *)
Found == TLCGet(C.id)
Begin == \A c \in Cases : TLCSet(c.id, {})
Explore ==
  /\ ~(C.expect # {} /\ C.expect \subseteq Found)
  /\ \/ Nothing
     \/ /\ ~(Hits \subseteq Found)
        /\ TLCSet(C.id, Found \cup Hits)
        /\ PrintT(<<"HIT", C.name, TLCGet("level"), Hits>>)
        /\ FALSE
=============================================================================

------------------------------ MODULE Replication ------------------------------
(* The log, and who takes part: what of Raft authority rests on, as cluster does it. *)
(*                                                                                   *)
(* Who may win, what a follower appends, what a majority has, what a snapshot leaves *)
(* and compaction keeps.  Authority.tla goes on from here: what a leader may do with *)
(* it.  DESIGN.md, "Specification", has the table of names and code.                 *)
(*                                                                                   *)
(* Time passes in ticks of the venue's clock and is kept as ages.  A node's own      *)
(* clock may read anything from slow * k to fast * k after k ticks, unit * k being   *)
(* right; ages stop where nothing depends on them any more.                          *)
(*                                                                                   *)
(* A process may stop anywhere for any time, and a frame may be late or lost: no     *)
(* step is ever forced, and what the leader of a term ever sent (`sent`) may be      *)
(* received at any later time.                                                       *)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS
  Nodes, First,         \* three members, and New; the leader of term 1
  New, None,            \* the node that takes another's place, if that is asked for; nobody
  Cases                 \* what is checked, each with an id: see below

(* A case says within which bounds, on which clocks, and what is broken on purpose. *)
(*   terms, intents    bounds                                                       *)
(*   others            entries that order no send (a fill, a checkpoint)            *)
(*   wiped             disks lost, in a broken protocol                             *)
(*   windows           what the policy in the log may say of W as an epoch starts   *)
(*   cancels           the intents that only cancel; {}: automatic mode             *)
(*   handover          whether a leader may hand over                               *)
(*   mandate           ticks without a majority before it; 0: none                  *)
(*   stage             where the replacement of a node stands at first: 0: New is     *)
(*                     nobody; 1: it learns, and has the log; 2: it votes, the fourth *)
(*   changes           how many entries of a log say who takes part                   *)
(*   snapshots         of "install": a follower may get a state instead of entries;   *)
(*                     "newcomer": New alone may; "compact": a log may begin higher   *)
(*   unit, slow, fast  what a right, the slowest, the fastest clock read in a tick  *)
(*   venue             of "deadline": it refuses what is late; "delay": requests    *)
(*                     may be late                                                  *)
(*   process           of "pause": between check and write; "restart"; "disk":      *)
(*                     syncs are steps of their own, a restart loses what was not   *)
(*                     synced; "eager": a leader proposes whatever it holds;        *)
(*                     "suspend": the machine may stand still, its clock with it;   *)
(*                     "deposed": a leader that a majority has left goes on         *)
(*   broken            "" is the protocol                                           *)
(*   expect            what is looked for: properties that this must violate, or    *)
(*                     what must be reachable; {}: nothing may be violated          *)

VARIABLES
  case,                 \* which of Cases: it never changes
  term, leads, log,     \* of each node: its term, whether it leads in it, its log
  sent, leader,         \* of each term: its leader's log, its leader
  committed,            \* of each term: how far a majority has that log
  base,                 \* of each node: where its log begins; 0: nothing was dropped
  floor,                \* of each term: where its leader's log began: it sends what is behind
  synced, acked,        \* "disk": what of a log is durable; what was acknowledged ("changes" too)
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

lean == <<case, term, leads, log, sent, leader, committed, base, floor, synced, wiped, newest,
          window>>
raft == <<lean, acked>>
vars == <<case, term, leads, log, sent, leader, committed, base, floor, synced, acked, wiped,
          newest, window, seen, intent, shut, quiet, others, viol>>

C == case
Terms == 1 .. C.terms
Ids == 1 .. C.intents
(* What an entry holds, besides an intent's number. *)
STARTED == 0   TAKEN == 101   TAKEN_FOR_CANCELS == 102   RELEASED == 103   BARE == 104
(* Or who takes part: New learns, New votes; a node by itself: it is removed, for ever. *)
LEARNS == 105   VOTES == 106
(* What became of an intent.  HELD: past the gate and not written; SENT: written. *)
FREE == 0   PROPOSED == 1   HELD == 2   SENT == 3   ADMITTED == 4   OVER == 5
NEVER == -1

Deadline == "deadline" \in C.venue   Delay == "delay" \in C.venue
Pause == "pause" \in C.process   Restarts == "restart" \in C.process
Disk == "disk" \in C.process   Eager == "eager" \in C.process
Deposed == "deposed" \in C.process
Mandated == C.mandate > 0   Manual == C.cancels # {}
Changing == C.stage > 0 \/ C.changes > 0
Installs(n) == "install" \in C.snapshots \/ ("newcomer" \in C.snapshots /\ n = New)
Compacts == "compact" \in C.snapshots
Taking == IF Changing THEN Nodes ELSE Nodes \ {New}     \* who may ever take part
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
(* Who takes part: cluster/members.py, adopted.py.  In force is what the log says to its end, *)
(* committed or not.                                                                          *)

Says(s, what) == \E i \in DOMAIN s : s[i][2] = what
Removed(s) == {n \in Taking : Says(s, n)}
Voting(s) ==
  IF ~Changing THEN Taking
  ELSE ((Nodes \ {New}) \cup (IF Says(s, VOTES) THEN {New} ELSE {})) \ Removed(s)
Learning(s) ==
  IF Says(s, LEARNS) /\ ~Says(s, VOTES) THEN {New} \ Removed(s) ELSE {}
Places(s) == {i \in DOMAIN s : s[i][2] \in {LEARNS, VOTES} \cup Nodes}

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

(* The most that a node may have heard to be committed. *)
Sure(n) == Most({0} \cup {Least(committed[t], Matched(n, t)) : t \in Used \cap (1 .. term[n])})

(* The commit rule: an entry of the term itself, on a majority of those who vote. *)
CommitOf(t, s, row) ==
  LET voting == Voting(s)
      counted == IF Bug("LearnerCounts") THEN voting \cup Learning(s) ELSE voting
      have(i) == {n \in counted : row[n] >= i \/ (~Disk /\ n = leader[t])}
  IN Most({committed[t]} \cup {i \in DOMAIN s : s[i][1] = t
                               /\ 2 * Cardinality(have(i)) > Cardinality(voting)})

(* Nothing of these is sent any more that was not handed over yet. *)
Discarded(K) == [x \in Ids |->
  IF intent[x].st = PROPOSED /\ \E n \in K : leads[n] /\ intent[x].ep = term[n]
  THEN [intent[x] EXCEPT !.st = OVER, !.age = 0] ELSE intent[x]]
Discard(n) == Discarded({n})
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
(* The candidate, which counts by its own log, and those that vote for it, whatever they take   *)
(* themselves for, were silent until then.                                                      *)
Electors(c) == Voting(log[c])
               \cup (IF Bug("RemovedNodeVotes") THEN Removed(log[c]) ELSE {})
               \cup (IF Bug("LearnerVotes") THEN Learning(log[c]) ELSE {})
StartEpoch(c, voters) ==
  LET t == newest + 1
      all == voters \cup {c} IN
  /\ newest < C.terms /\ c \notin voters /\ c \in Voting(log[c])
  /\ voters \subseteq Electors(c) /\ Cardinality(voters) = Cardinality(Voting(log[c])) \div 2
  /\ \A v \in voters : Ahead(c, v)
  /\ \A n \in all : Durable(n)           \* a vote and its request leave once synced
  /\ \A x \in Ids : seen[c][x] # NEVER
  /\ log' = [log EXCEPT ![c] = Append(@, <<t, STARTED>>)]
  /\ sent' = [sent EXCEPT ![t] = log'[c]]
  /\ leader' = [leader EXCEPT ![t] = c]
  /\ newest' = t
  /\ floor' = [floor EXCEPT ![t] = base[c]]
  /\ term' = [n \in Nodes |-> IF n \in all THEN t ELSE term[n]]
  /\ leads' = [n \in Nodes |-> IF n \in all THEN n = c ELSE leads[n]]
  /\ \E w \in C.windows : window' = [window EXCEPT ![t] = w]
  /\ intent' = Discarded(all)
  /\ quiet' = [n \in Nodes |-> IF Mandated /\ n \in all /\ LastActive(n) THEN 0 ELSE quiet[n]]
  /\ UNCHANGED <<case, committed, base, synced, acked, wiped, seen, shut, others, viol>>

(* A leader sends to who takes part by its log: a node gets nothing from its removal on. *)
SentTo(f, t, m) == Changing =>
  LET parts(s) == Voting(s) \cup Learning(s) IN
  f \in parts(sent[t]) \/ f \in parts(SubSeq(sent[t], 1, m))

(* A follower appends up to m of what the leader of t sent; a conflicting tail goes. *)
(* Without "disk" it syncs and acknowledges in the same step.                        *)
Appended(f, t, from, m) ==
  /\ from >= floor[t] /\ SentTo(f, t, m)
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
     ELSE /\ UNCHANGED synced
          /\ acked' = IF Changing THEN [acked EXCEPT ![t][f] = Most({@, m})] ELSE acked
          /\ committed' = IF sent[t][m][1] = t    \* of three the leader and this one are enough
                          THEN [committed EXCEPT ![t] = IF Changing THEN CommitOf(t, sent[t], acked'[t])
                                                        ELSE Most({@, m})]
                          ELSE committed
  /\ UNCHANGED <<case, sent, leader, base, floor, wiped, newest, window, shut, others, viol>>

(* A verified snapshot of what a leader of t had applied takes the place of log and state, also  *)
(* when that leader is long gone; not where the log holds its entry (receiving._has).  Whatever  *)
(* it says was ordered counts from now (Sends.installed): nobody here saw when it was appended.  *)
Install(f, t, m) ==
  LET new == SubSeq(sent[t], 1, m)
      from == Matched(f, t) IN
  /\ Installs(f) /\ ~leads[f] /\ m > from /\ SentTo(f, t, m)
  /\ log' = [log EXCEPT ![f] = new]
  /\ base' = IF newest < C.terms THEN [base EXCEPT ![f] = m] ELSE base
  /\ term' = [term EXCEPT ![f] = Most({@, t})]
  /\ seen' = [seen EXCEPT ![f] = [x \in Ids |->
       IF ~Holds(new, x) THEN Long
       ELSE IF ~Bug("SnapshotForgetsWait") THEN 0
       ELSE IF intent[x].at <= from THEN seen[f][x] ELSE Long]]
  /\ quiet' = [quiet EXCEPT ![f] = NEVER]
  /\ synced' = IF Disk THEN [synced EXCEPT ![f] = m] ELSE synced
  /\ acked' = IF (Disk \/ Changing) /\ term[f] <= t
              THEN [acked EXCEPT ![t][f] = Most({@, m})] ELSE acked
  /\ UNCHANGED <<case, leads, sent, leader, committed, floor, wiped, newest, window, intent, shut,
                 others, viol>>

(* The log begins higher: what is committed, applied and durable may go (Journal.drop_before).  *)
(* The state stands for it, and when it was appended is remembered beside it (Sends.last).  In  *)
(* the last term it would change nothing: nobody is sent anything by a leader that comes later. *)
Compact(n) ==
  LET b == IF Disk THEN Least(Sure(n), synced[n]) ELSE Sure(n) IN
  /\ Compacts /\ b > base[n]
  /\ newest < C.terms \/ (Bug("CompactionForgetsWait") /\ leads[n])
  /\ base' = [base EXCEPT ![n] = b]
  /\ seen' = IF ~Bug("CompactionForgetsWait") THEN seen
             ELSE [seen EXCEPT ![n] = [x \in Ids |->
                    IF Known(n, x) /\ intent[x].at < b THEN Long ELSE @[x]]]
  /\ UNCHANGED <<case, term, leads, log, sent, leader, committed, floor, synced, acked, wiped,
                 newest, window, intent, shut, quiet, others, viol>>

Synced(n) ==
  LET t == term[n] IN
  /\ Disk /\ synced[n] # Len(log[n])
  /\ synced' = [synced EXCEPT ![n] = Len(log[n])]
  /\ acked' = IF Matched(n, t) = Len(log[n])
              THEN [acked EXCEPT ![t][n] = Most({@, Len(log[n])})] ELSE acked
  /\ committed' = [committed EXCEPT ![t] = CommitOf(t, sent[t], acked'[t])]
  /\ UNCHANGED <<case, term, leads, log, sent, leader, base, floor, wiped, newest, window, seen,
                 intent, shut, quiet, others, viol>>

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
  /\ UNCHANGED <<case, term, sent, leader, committed, base, floor, acked, wiped, newest, window, shut,
                 others, viol>>

(* A leader without answers from a majority steps down (the fallback). *)
StepDown(n) ==
  /\ Mandated /\ leads[n]
  /\ leads' = [leads EXCEPT ![n] = FALSE]
  /\ intent' = Discard(n)
  /\ quiet' = IF LastActive(n) THEN [quiet EXCEPT ![n] = 0] ELSE quiet
  /\ UNCHANGED <<case, term, log, sent, leader, committed, base, floor, synced, acked, wiped, newest,
                 window, seen, shut, others, viol>>

(* A leader appends.  One that a majority has left commits nothing more: left out, but where that *)
(* is looked at ("deposed").                                                                      *)
MayAppend(n) == leads[n] /\ (term[n] = newest \/ Bug("SendBeforeCommit") \/ Deposed)
Append_(n, what, seen_) ==
  LET t == term[n] IN
  /\ log' = [log EXCEPT ![n] = Append(@, <<t, what>>)]
  /\ sent' = [sent EXCEPT ![t] = log'[n]]
  /\ seen' = seen_
  /\ acked' = IF Disk /\ Bug("AckBeforeSync")
              THEN [acked EXCEPT ![t][n] = Len(log'[n])] ELSE acked
  /\ committed' = IF Disk \/ Changing
                  THEN [committed EXCEPT ![t] = CommitOf(t, sent'[t], acked'[t])] ELSE committed
  /\ UNCHANGED <<case, term, leads, leader, base, floor, synced, wiped, newest, window, quiet>>

(* Another configuration, as members.allow and follow have it: one at a time, none before an      *)
(* entry of the own term is committed, never without the leader, nor with one voter.  Which       *)
(* learner has caught up, and whether a majority is healthy, is no matter of safety: left out.    *)
Change(n, what) ==
  LET s == log[n]
      t == term[n] IN
  /\ MayAppend(n) /\ Cardinality(Places(s)) < C.stage + C.changes
  /\ CASE what = LEARNS -> ~Says(s, LEARNS)
       [] what = VOTES -> New \in Learning(s)
       [] OTHER -> /\ what \in Voting(s) \cup Learning(s) /\ what # n
                   /\ what \in Voting(s) => Cardinality(Voting(s)) > 2
  /\ (\A i \in Places(s) : i <= Sure(n)) \/ Bug("TwoChangesAtOnce")
  /\ Applied(t, <<t, STARTED>>) \/ Bug("ChangeBeforeOwnTerm")
  /\ Append_(n, what, seen)
  /\ UNCHANGED <<intent, shut, others, viol>>
=============================================================================

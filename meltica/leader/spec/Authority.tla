------------------------------- MODULE Authority -------------------------------
(* Authority and hand-over, as meltica/leader, meltica/core and cluster do it. *)
(*                                                                             *)
(* One noun: the right to send.  The log below it, who takes part, and all     *)
(* constants and variables are Replication.tla's.  Actions and operators are   *)
(* named as in the code; DESIGN.md, "Specification", has the table of both,    *)
(* and says where they differ.                                                 *)
EXTENDS Replication

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
      has(s) == LET voting == Voting(s) IN     \* which its leader counted by: in force, committed or not
        2 * Cardinality({n \in voting : Known(n, x)}) > Cardinality(voting) IN
  (IF \E y \in Ids : intent[y].st = ADMITTED /\ intent[y].ep > e THEN {"P1"} ELSE {})
  \cup (IF i > committed[e] \/ ~(has(sent[e]) \/ has(SubSeq(sent[e], 1, committed[e])))
          THEN {"P2"} ELSE {})
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
  /\ base' = [base EXCEPT ![n] = 0]
  /\ seen' = [seen EXCEPT ![n] = [x \in Ids |-> Long]]
  /\ intent' = Killed(n)
  /\ quiet' = [quiet EXCEPT ![n] = NEVER]
  /\ UNCHANGED <<case, sent, leader, committed, floor, synced, acked, newest, window, shut, others,
                 viol>>

-----------------------------------------------------------------------------
(* Term 1 leads, and has taken authority. *)
Begun == << <<1, STARTED>>, <<1, TAKEN>> >>
         \o (IF C.stage > 0 THEN << <<1, LEARNS>> >> ELSE <<>>)
         \o (IF C.stage > 1 THEN << <<1, VOTES>> >> ELSE <<>>)
There(n) == n # New \/ C.stage > 0
Init ==
  /\ case \in Cases
  /\ term = [n \in Nodes |-> IF There(n) THEN 1 ELSE 0]
  /\ leads = [n \in Nodes |-> n = First]
  /\ log = [n \in Nodes |-> IF There(n) THEN Begun ELSE <<>>]
  /\ sent = [t \in Terms |-> IF t = 1 THEN Begun ELSE <<>>]
  /\ leader = [t \in Terms |-> IF t = 1 THEN First ELSE None]
  /\ committed = [t \in Terms |-> IF t = 1 THEN Len(Begun) ELSE 0]
  /\ base = [n \in Nodes |-> 0] /\ floor = [t \in Terms |-> 0]
  /\ synced = [n \in Nodes |-> IF Disk THEN Len(log[n]) ELSE 0]
  /\ acked = [t \in Terms |-> [n \in Nodes |->
       IF (Disk \/ Changing) /\ t = 1 THEN Len(log[n]) ELSE 0]]
  /\ wiped = 0 /\ newest = 1
  /\ window \in [Terms -> {0} \cup C.windows] /\ \A t \in Terms : (window[t] # 0) = (t = 1)
  /\ seen = [n \in Nodes |-> [x \in Ids |-> IF Bug("WaitFromMissed") THEN NEVER ELSE Long]]
  /\ intent = [x \in Ids |-> [ep |-> 1, at |-> 0, orders |-> FALSE, st |-> FREE, age |-> 0]]
  /\ shut = {} /\ others = 0 /\ viol = {}
  /\ quiet = [n \in Nodes |-> NEVER]

Next ==
  \/ Tick
  \/ \E n \in Taking :
       \/ TakeAuthority(n, TAKEN) \/ (Manual /\ TakeAuthority(n, TAKEN_FOR_CANCELS))
       \/ Drain(n) \/ ReleaseAuthority(n) \/ Other(n)
       \/ Synced(n) \/ Restart(n) \/ StepDown(n) \/ Missed(n) \/ Wipe(n) \/ Compact(n)
       \/ \E what \in {LEARNS, VOTES} \cup Nodes : Changing /\ Change(n, what)
       \/ \E voters \in SUBSET (Taking \ {n}) : StartEpoch(n, voters)
       \/ \E t \in Used :
            /\ term[n] <= t /\ leader[t] # n
            /\ LET from == Matched(n, t) IN
                 \E m \in from + 1 .. Len(sent[t]) : Appended(n, t, from, m)
       \/ \E t \in Used : leader[t] # n /\ \E m \in 1 .. committed[t] : Install(n, t, m)
       \/ \E x \in Ids : \/ Propose(n, x) \/ NotFound(n, x)
                         \/ MandateCancel(n, x) \/ SendOlder(n, x)
  \/ \E x \in Ids : Send(x) \/ Write(x) \/ Admit(x)

Spec == Init /\ [][Next]_vars

Symmetry == Permutations(Nodes \ {First, New})
(* Nobody looks again at the wait of a node that can't win a term any more, nor at that for *)
(* a send that is not live.                                                                 *)
Looked(n) == IF leader[C.terms] \notin {None, n} THEN <<>>
             ELSE [x \in Ids |-> IF Bug("WaitFromMissed") \/ Live(x) THEN seen[n][x] ELSE 0]
(* What is committed is counted by nobody again. *)
Counts == [t \in Terms |-> [n \in Nodes |-> IF acked[t][n] <= committed[t] THEN 0 ELSE acked[t][n]]]
View == <<lean, Counts, intent, shut, quiet, others, viol, [n \in Nodes |-> Looked(n)]>>

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
Incomplete == \E e, t \in Used :
  e < t /\ ~(/\ Len(sent[t]) >= committed[e]
             /\ \A i \in 1 .. committed[e] : sent[t][i] = sent[e][i])
LeaderCompleteness == C.broken = "" => ~Incomplete

(* What lies below a log's base need not be compared (following._from_base): who may send has it. *)
BaseMatched == C.broken = "" => \A n \in Taking, t \in Used :
  term[n] <= t => Matched(n, t) >= base[n]

(* Reachable, or the rest says little. *)
HandedOver == \E t \in Used :     \* a release spared a wait, after trading
  t > 1 /\ TakenApplied(t) /\ Relieved(t) /\ \E x \in Ids : intent[x].st = ADMITTED /\ intent[x].ep < t
Overlap ==                        \* a deposed leader's order is accepted beside a newer leader
  \E x \in Ids : /\ intent[x].st = ADMITTED /\ intent[x].ep < newest
                 /\ leads[leader[intent[x].ep]] /\ committed[newest] > 0
Replaced ==                       \* New has taken a voter's place, and leads in it
  \E t \in Used : leader[t] = New /\ TakenApplied(t) /\ Cardinality(Removed(sent[t])) = 1
Installed ==                      \* what it knows of a send came by a snapshot, and it leads (nothing is compacted)
  \E t \in Used : t > 1 /\ TakenApplied(t) /\ base[leader[t]] > 0
              /\ \E x \in Ids : intent[x].st = ADMITTED /\ intent[x].at <= base[leader[t]]
Traded == \A t \in Terms : \E x \in Ids : intent[x].ep = t /\ intent[x].st = ADMITTED
Reached == (IF HandedOver THEN {"HandedOver"} ELSE {}) \cup (IF Overlap THEN {"Overlap"} ELSE {})
           \cup (IF Traded THEN {"Traded"} ELSE {})
           \cup (IF Changing /\ Replaced THEN {"Replaced"} ELSE {})
           \cup (IF Installed THEN {"Installed"} ELSE {})
           \cup (IF C.broken # "" /\ Changing /\ Incomplete THEN {"Incomplete"} ELSE {})

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

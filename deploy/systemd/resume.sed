# Makes nightly-sync-resume.service out of nightly-sync.service: the same in all but what it runs.
s/^# A night of.*/# A night that did not come to its end: nightly-sync-resume.timer starts it./
s/^Description=.*/Description=The unfinished night of nightly-sync, if there is one/
/^# One that is being finished/d
s/ nightly-sync-resume\.service$//
s/--due 23:00/--resume/
# Whoever waits for it waits until its end. It tries once: what is still unfinished then, the next start takes.
s/^Type=exec$/Type=oneshot/
/^# 1, 5 and signals/d
# 4: a night is at work already.
s/^SuccessExitStatus=3/& 4/
/^Restart/d
/^StartLimit/d
/^# Status 5 comes/d

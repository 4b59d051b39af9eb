# Makes nightly-sync-resume.service out of nightly-sync.service: the same in all but what it runs.
s/^# A night of.*/# What a shutdown stopped: nightly-sync-resume.timer starts it at boot, nightly-sync.service before its own night./
s/^Description=.*/Description=The unfinished night of nightly-sync, if there is one/
/^# A night that was stopped/d
s/ nightly-sync-resume\.service$//
s/--due 23:00/--resume/
# Whoever waits for it waits until its end. It tries once: what is still unfinished then, the next start takes.
s/^Type=exec$/Type=oneshot/
/^# 1, 5 and signals/d
/^Restart/d
/^StartLimit/d
/^# Status 5 comes/d

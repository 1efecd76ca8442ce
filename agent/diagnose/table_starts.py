"""Rules for containers that can't be made or started. Wording: kubelet (makeEnvironmentVariables, verifyRunAsNonRoot, makeMounts),
containerd and CRI-O around runc and crun, Docker before 1.24.
"""

from __future__ import annotations

from agent.diagnose.case import At
from agent.diagnose.rule import Rule, says
from agent.diagnose.table_pods import DESCRIBE, SECURITY_UID, UID_RANGE
from agent.model.diagnosis import Answer, Category

YES, NO, PERHAPS = Answer.YES, Answer.NO, Answer.PERHAPS
CONFIG = {
    At.CONFIG: Category.CREATE_CONFIG,
    At.WAITING: Category.CREATE_CONFIG,
}  # old kubelets say it all in the reason
START = {At.CREATE: Category.CREATE, At.START: Category.RUN}
DENIED = {At.CREATE: Category.PERMISSION, At.START: Category.PERMISSION, At.CONFIG: Category.PERMISSION}
ANY = {
    At.CONFIG: Category.CREATE_CONFIG,
    At.CREATE: Category.CREATE,
    At.START: Category.RUN,
    At.WAITING: Category.UNKNOWN,
}
EXEC = r"(?:exec: \\?\"?|executable file `)(?P<command>[^\"`\\\n]{1,400})"

STARTS: tuple[Rule, ...] = (
    Rule(
        "config-key-missing", CONFIG, NO, NO,
        ("{who} takes {key} from {kind} {name}, which has no such key",),
        ("add the key {key} to {kind} {name}, mend the reference, or mark it optional; the kubelet picks it up by itself",),
        says=says(r"couldn't find key (?P<key>\S{1,253}) in (?P<kind>Secret|ConfigMap) (?P<name>[^\s,]{1,320})"),
    ),
    Rule(
        "config-key-not-existent", CONFIG, NO, NO,
        ("{who} takes {key} from a Secret or ConfigMap that has no such key",),
        ("add the key {key}, mend the reference, or mark it optional; the kubelet picks it up by itself",),
        says=says(r"references non-existent (?:config|secret) key: (?P<key>\S{1,253})"),
    ),
    Rule(
        "config-object-missing", CONFIG, NO, NO,
        ("{who} needs {kind} {name}, which isn't there",),
        ("create {kind} {name} in namespace {namespace}, mend the reference, or mark it optional; the kubelet picks it up by itself",),
        says=says(r"(?P<kind>secret|configmap)s? \\?\"(?P<name>[^\"\\\n]{1,253})\\?\" not found"),
    ),
    Rule(
        "config-forbidden", CONFIG, PERHAPS, PERHAPS,
        ("the node may not read a Secret or ConfigMap that {who} needs",),
        ("see that the object is in namespace {namespace}; a node may read only what pods bound to it refer to",),
        says=says(r"(?:secrets|configmaps) \\?\"[^\"\\\n]{1,253}\\?\" is forbidden"),
    ),
    Rule(
        "config-cache", CONFIG, YES, YES,
        ("the kubelet has not had an answer from the API about what {who} needs",),
        ("nothing, if it passes; else look at the node's way to the API server",),
        says=says(r"failed to sync (?:secret|configmap) cache|services have not yet been read|timed out waiting for the condition"),
    ),
    Rule(
        "config-subpath", CONFIG, PERHAPS, PERHAPS,
        ("the subPath of volume {volume} can't be prepared for {who}",),
        ("see that the subPath of volume {volume} exists, is no link out of it, and that its server answers; then delete the pod",),
        says=says(r"failed to (?:prepare|create) subPath (?:directory for|for) volumeMount \\?\"(?P<volume>[^\"\\\n]{1,253})"),
    ),
    Rule(
        "security-uid", ANY, NO, NO,
        ("{who} runs as uid {uid}, which the constraint forbids: {low} to {high} are allowed",),
        (SECURITY_UID,),
        says=says(UID_RANGE),
    ),
    Rule(
        "security-non-root-name", ANY, NO, NO,
        ("{who} must not run as root (runAsNonRoot), and its image names its user {user} instead of giving a number",),
        ("set runAsUser to {user}'s number, or give the image a numeric USER",),
        says=says(r"runAsNonRoot and image has non-numeric user \((?P<user>[^)\n]{1,64})\)"),
    ),
    Rule(
        "security-non-root", ANY, NO, NO,
        ("{who} must not run as root (runAsNonRoot), and would",),
        ("set runAsUser to a number that isn't 0, use an image whose USER is a number that isn't 0, or take runAsNonRoot away",),
        says=says(r"runAsNonRoot|breaks non-root policy|runAsUser breaks|VerifyNonRootError"),
    ),
    Rule(
        "security-constraint", ANY, NO, NO,
        ("the node's or the cluster's security settings forbid how {who} wants to run",),
        ("mend what the message names: a constraint's permission, or a seccomp, AppArmor or SELinux profile that isn't on this node",),
        says=says(r"security context constraint|violates PodSecurity|load(?:ing)? seccomp|seccomp(?: is| not|: | profile| filter)|"
                  r"apparmor(?: is| not|: | profile| failed)|apply(?:ing)? apparmor|selinux (?:label|relabel|context)|lsetxattr"),
    ),
    Rule(
        "start-mount", START, NO, PERHAPS,
        ("a mount of {who} can't be made",),
        ("see what the message names: a hostPath that isn't there or is of another type, or a file mounted on a directory",),
        says=says(r"not a (?:shared mount|device node)|is mounted on|error mounting|invalid (?:mount|volume)|failed to (?:create )?mount|"
                  r"mount(?:ing)? .{0,200}(?:failed|caused)"),
    ),
    Rule(
        "start-limit-too-low", START, NO, NO,
        ("{who} was out of memory before its first instruction: its limit of {limit} is less than starting it takes",
         "{who} was out of memory before its first instruction: its limit is less than starting it takes"),
        ("raise the limit from {limit}: starting a container takes some MiB by itself",
         "raise the memory limit: starting a container takes some MiB by itself"),
        says=says(r"container init was OOM-killed|memory limit too low|minimum memory limit|memory limit .{0,60}too low"),
    ),
    Rule(
        "start-permission", DENIED, NO, NO,
        ("{who}, as uid {uid}, may not run {command}", "{who} may not run {command}",
         "{who}, as uid {uid}, was refused what it needs to start", "{who} was refused what it needs to start"),
        ("make {command} executable for uid {uid} (chmod +x in the image), or run as a user that may",
         "make {command} executable (chmod +x in the image), or run it by its interpreter",
         "see what the message names: a file's mode or owner, a mount, or a capability that was dropped"),
        says=says(r"(?:" + EXEC + r"\\?\": )?(?:permission denied|operation not permitted|EACCES|EPERM)"),
    ),
    Rule(
        "start-wrong-platform", START, NO, NO,
        ("{who} holds a program for another processor, or a script without its first line",),
        ("build the image for this node's processor, or begin the script with #! and its interpreter",),
        says=says(r"exec format error"),
    ),
    Rule(
        "start-command-missing", START, NO, NO,
        ("{who} is to run {command}, which the image doesn't have", "{who} has no command to run that the image would have"),
        ("mend command and args of {who} ({command}): each word is an item of its own, and no shell reads it unless you name one",
         "mend command and args of {who}, or the image's ENTRYPOINT"),
        says=says(EXEC + r"(?:\\?\": (?:executable file not found|stat |no such file)|` not found)|"
                  r"executable file .{0,400}not found|no command specified|(?:chdir|exec) .{0,400}no such file"),
    ),
    Rule(
        "start-slow-runtime", START, YES, YES,
        ("the runtime has not finished the last try: the node or its disks are busy",),
        ("wait; if it lasts, look at the node's load and disks; with very many files set fsGroupChangePolicy: OnRootMismatch",),
        says=says(r"name is reserved|is reserved for|context deadline exceeded|DeadlineExceeded|timed out|retrying requests|"
                  r"already in use"),
    ),
    Rule(
        "start-sandbox-gone", START, YES, YES,
        ("the pod's sandbox went away while {who} was made",),
        ("nothing: the kubelet makes another; if it comes back, look at the runtime's log on the node",),
        says=says(r"no running task found|sandbox .{0,200}(?:not found|not running|is not ready)|cannot join network|"
                  r"failed to get sandbox"),
    ),
    Rule(
        "start-no-space", START, PERHAPS, PERHAPS,
        ("the node is out of disk, inodes, or cgroups",),
        ("clear images and logs on the node; `kubectl describe node` shows its pressures",),
        says=says(r"no space left on device|disk quota exceeded|cannot allocate memory|too many open files"),
    ),
    Rule(
        "start-hook", START, PERHAPS, PERHAPS,
        ("a lifecycle hook of {who} failed, and so the kubelet ended it",),
        ("run the hook's command by hand in the container, and mend it; a postStart hook must not need what is not up yet",),
        says=says(r"(?:PostStart|PreStart|PreCreate)Hook|PostStart handler|lifecycle hook"),
    ),
    Rule(
        "start", {At.CONFIG: Category.CREATE_CONFIG, **START}, PERHAPS, PERHAPS,
        ("{who} can't be started ({reason})",),
        (f"see what the message says, and the Events: {DESCRIBE}",),
    ),
    Rule(
        "waiting", {At.WAITING: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("{who} waits, for a reason that oomward doesn't know ({reason})",),
        (f"see what the message says, and the Events: {DESCRIBE}",),
    ),
)  # fmt: skip

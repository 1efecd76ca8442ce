"""Rules for containers that cannot be created or started. Messages: kubelet (makeEnvironmentVariables, verifyRunAsNonRoot, makeMounts),
containerd and CRI-O around runc and crun, Docker before 1.24.
"""

from __future__ import annotations

from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule
from agent.diagnose.table_pods import DESCRIBE, SECURITY_UID, UID_RANGE
from agent.model.diagnosis import Category

CONFIG = {
    At.CONFIG: Category.CREATE_CONFIG,
    At.WAITING: Category.CREATE_CONFIG,
}  # old kubelets put the message into the reason
START = {At.CREATE: Category.CREATE, At.START: Category.RUN}
DENIED = {At.CREATE: Category.PERMISSION, At.START: Category.PERMISSION, At.CONFIG: Category.PERMISSION}
ANY = {At.CONFIG: Category.CREATE_CONFIG, **START, At.WAITING: Category.UNKNOWN}
EXEC = r"(?:exec: \\?\"?|executable file `)(?P<command>[^\"`\\\n]{1,400})"

STARTS: tuple[Rule, ...] = (
    Rule("config-key-missing", CONFIG, NO, NO,
        ("{who} needs key {key} of {kind} {name}, which has no such key",),
        ("add the key {key} to {kind} {name}, correct the reference, or mark it optional; the kubelet then continues",),
        says=r"couldn't find key (?P<key>\S{1,253}) in (?P<kind>Secret|ConfigMap) (?P<name>[^\s,]{1,320})"),
    Rule("config-key-not-existent", CONFIG, NO, NO,
        ("{who} needs key {key} of a Secret or ConfigMap that has no such key",),
        ("add the key {key}, correct the reference, or mark it optional; the kubelet then continues",),
        says=r"references non-existent (?:config|secret) key: (?P<key>\S{1,253})"),
    Rule("config-object-missing", CONFIG, NO, NO,
        ("{who} needs {kind} {name}, which does not exist",),
        ("create {kind} {name} in namespace {namespace}, correct the reference, or mark it optional; the kubelet then continues",),
        says=r"(?P<kind>secret|configmap)s? \\?\"(?P<name>[^\"\\\n]{1,253})\\?\" not found"),
    Rule("config-forbidden", CONFIG, PERHAPS, PERHAPS,
        ("the node may not read a Secret or ConfigMap that {who} needs",),
        ("check that the object is in namespace {namespace}; a node may read only what its pods refer to",),
        says=r"(?:secrets|configmaps) \\?\"[^\"\\\n]{1,253}\\?\" is forbidden"),
    Rule("config-cache", CONFIG, YES, YES,
        ("the kubelet has no answer yet from the API about objects that {who} needs",),
        ("wait; if it lasts, check the node's connection to the API server",),
        says=r"failed to sync (?:secret|configmap) cache|services have not yet been read|timed out waiting for the condition"),
    Rule("config-subpath", CONFIG, PERHAPS, PERHAPS,
        ("the subPath of volume {volume} cannot be prepared for {who}",),
        ("check that the subPath of volume {volume} exists, is not a link out of it, and that its server answers; then delete the pod",),
        says=r"failed to (?:prepare|create) subPath (?:directory for|for) volumeMount \\?\"(?P<volume>[^\"\\\n]{1,253})"),
    Rule("security-uid", ANY, NO, NO,
        ("{who} is set to run as uid {uid}, which the constraint forbids: {low} to {high} are allowed",),
        (SECURITY_UID,),
        says=UID_RANGE),
    Rule("security-non-root-name", ANY, NO, NO,
        ("{who} must not run as root (runAsNonRoot), but its image has the user name {user} instead of a number",),
        ("set runAsUser to the uid of {user}, or give the image a numeric USER",),
        says=r"runAsNonRoot and image has non-numeric user \((?P<user>[^)\n]{1,64})\)"),
    Rule("security-non-root", ANY, NO, NO,
        ("{who} must not run as root (runAsNonRoot), but its image does",),
        ("set runAsUser to a number other than 0, use an image with such a USER, or remove runAsNonRoot",),
        says=r"runAsNonRoot|breaks non-root policy|runAsUser breaks|VerifyNonRootError"),
    Rule("security-constraint", ANY, NO, NO,
        ("security settings of the node or the cluster forbid the configuration of {who}",),
        ("correct what the message names: a constraint, or a seccomp, AppArmor or SELinux profile that is missing on this node",),
        says=(r"security context constraint|violates PodSecurity|load(?:ing)? seccomp|seccomp(?: is| not|: | profile| filter)|"
              r"apparmor(?: is| not|: | profile| failed)|apply(?:ing)? apparmor|selinux (?:label|relabel|context)|lsetxattr")),
    Rule("start-mount", START, NO, PERHAPS,
        ("a mount of {who} failed",),
        ("check what the message names: a hostPath that does not exist or has another type, or a file mounted on a directory",),
        says=(r"not a (?:shared mount|device node)|is mounted on|error mounting|invalid (?:mount|volume)|failed to (?:create )?mount|"
              r"mount(?:ing)? .{0,200}(?:failed|caused)")),
    Rule("start-limit-too-low", START, NO, NO,
        ("{who} ran out of memory before its first instruction: its limit of {limit} is too low to start it",
         "{who} ran out of memory before its first instruction: its limit is too low to start it"),
        ("raise the limit from {limit}: starting a container needs some MiB",
         "raise the memory limit: starting a container needs some MiB"),
        says=r"container init was OOM-killed|memory limit too low|minimum memory limit|memory limit .{0,60}too low"),
    Rule("start-permission", DENIED, NO, NO,
        ("uid {uid} of {who} may not execute {command}", "{who} may not execute {command}",
         "uid {uid} of {who} lacks a permission to start", "{who} lacks a permission to start"),
        ("make {command} executable for uid {uid} (chmod +x in the image), or run as a user that may",
         "make {command} executable (chmod +x in the image), or run it by its interpreter",
         "check what the message names: a file's mode or owner, a mount, or a dropped capability"),
        says=r"(?:" + EXEC + r"\\?\": )?(?:permission denied|operation not permitted|EACCES|EPERM)"),
    Rule("start-wrong-platform", START, NO, NO,
        ("the program of {who} is for another processor, or a script without a #! line",),
        ("build the image for this node's processor, or start the script with #! and its interpreter",),
        says=r"exec format error"),
    Rule("start-command-missing", START, NO, NO,
        ("the image of {who} does not have the command {command}", "the image of {who} does not have its command"),
        ("correct command and args of {who} ({command}): each word is a separate item, and no shell is used unless you name one",
         "correct command and args of {who}, or the image's ENTRYPOINT"),
        says=(EXEC + r"(?:\\?\": (?:executable file not found|stat |no such file)|` not found)|"
              r"executable file .{0,400}not found|no command specified|(?:chdir|exec) .{0,400}no such file")),
    Rule("start-slow-runtime", START, YES, YES,
        ("the runtime has not finished the last try: the node or its disks are busy",),
        ("wait; if it lasts, check the node's load and disks; for volumes with many files set fsGroupChangePolicy: OnRootMismatch",),
        says=(r"name is reserved|is reserved for|context deadline exceeded|DeadlineExceeded|timed out|retrying requests|"
              r"already in use")),
    Rule("start-sandbox-gone", START, YES, YES,
        ("the pod's sandbox was removed while {who} was created",),
        ("nothing, the kubelet creates another; if it happens again, check the runtime's log on the node",),
        says=(r"no running task found|sandbox .{0,200}(?:not found|not running|is not ready)|cannot join network|"
              r"failed to get sandbox")),
    Rule("start-no-space", START, PERHAPS, PERHAPS,
        ("the node is out of disk space, inodes or cgroups",),
        ("remove images and logs on the node; `kubectl describe node` shows its pressure conditions",),
        says=r"no space left on device|disk quota exceeded|cannot allocate memory|too many open files"),
    Rule("start-hook", START, PERHAPS, PERHAPS,
        ("a lifecycle hook of {who} failed, so the kubelet ended the container",),
        ("run the hook's command in the container, and fix it; a postStart hook must not depend on what is not up yet",),
        says=r"(?:PostStart|PreStart|PreCreate)Hook|PostStart handler|lifecycle hook"),
    Rule("start", {At.CONFIG: Category.CREATE_CONFIG, **START}, PERHAPS, PERHAPS,
        ("{who} cannot be started ({reason})",),
        (f"read the message and the Events: {DESCRIBE}",)),
    Rule("waiting", {At.WAITING: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("{who} waits for a reason that oomward does not know ({reason})",),
        (f"read the message and the Events: {DESCRIBE}",)),
)  # fmt: skip

"""Rules for containers that cannot be created or started. Messages: kubelet (makeEnvironmentVariables, verifyRunAsNonRoot, makeMounts),
containerd and CRI-O around runc and crun, Docker before 1.24.
"""

from __future__ import annotations

from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule, Sure
from agent.diagnose.table_admission import SECURITY_UID, UID_RANGE
from agent.diagnose.table_pods import DESCRIBE
from agent.model.diagnosis import Category

# At.WAITING: old kubelets put the message into the reason.
CONFIG = {At.CONFIG: Category.CREATE_CONFIG, At.WAITING: Category.CREATE_CONFIG}
START = {At.CREATE: Category.CREATE, At.START: Category.RUN, At.WAITING: Category.RUN}
DENIED = dict.fromkeys((At.CREATE, At.START, At.CONFIG, At.WAITING), Category.PERMISSION)
ANY = {At.CONFIG: Category.CREATE_CONFIG, **START, At.WAITING: Category.UNKNOWN}
ENVIRONMENT = "pkg/kubelet/kubelet_pods.go: makeEnvironmentVariables (1.25 to 1.36)"
MOUNTS = "pkg/kubelet/kubelet_pods.go: makeMounts (1.25 to 1.36)"
SECURITY = "pkg/kubelet/kuberuntime/security_context.go: verifyRunAsNonRoot (1.25 to 1.36)"
RUNC = "runc libcontainer, crun libcrun: errors of create and start"
CONTAINERD = "containerd's internal/cri/server (pkg/cri/server before 2.0), CRI-O's server"
EXEC = r"(?:exec: \\{0,8}\"?|executable file `)(?P<command>[^\"`\\\n]{1,400})"

TOO_LONG = "arguments and environment of {who} are larger than the kernel takes (128 KiB for one, about 2 MiB in all)"
SHORTEN = "set enableServiceLinks: false (else each Service of the namespace adds about seven variables), and give large values as files"
E2BIG = r"argument list too long"
EXECVE = "execve(2): E2BIG; pkg/kubelet/kubelet_pods.go: getServiceEnvVarMap (1.13 to 1.36)"

STARTS: tuple[Rule, ...] = (
    Rule("config-key-missing", CONFIG, NO, NO,
        ("{who} needs key {key} of {kind} {name}, which has no such key",),
        ("add the key {key} to {kind} {name}, correct the reference, or mark it optional; the kubelet then continues",),
        says=r"couldn't find key (?P<key>\S{1,253}) in (?P<kind>Secret|ConfigMap) (?P<name>[^\s,]{1,320})", source=ENVIRONMENT),
    Rule("config-key-not-existent", CONFIG, NO, NO,
        ("{who} needs key {key} of a Secret or ConfigMap that has no such key",),
        ("add the key {key}, correct the reference, or mark it optional; the kubelet then continues",),
        says=r"references non-existent (?:config|secret) key: (?P<key>\S{1,253})", source=ENVIRONMENT),
    Rule("config-object-missing", CONFIG, NO, NO,
        ("{who} needs {kind} {name}, which does not exist",),
        ("create {kind} {name} in namespace {namespace}, correct the reference, or mark it optional; the kubelet then continues",),
        says=r"(?P<kind>secret|configmap)s? \\?\"(?P<name>[^\"\\\n]{1,253})\\?\" not found", source=ENVIRONMENT),
    Rule("config-forbidden", CONFIG, PERHAPS, PERHAPS,
        ("the node may not read a Secret or ConfigMap that {who} needs",),
        ("check that the object is in namespace {namespace}; a node may read only what its pods refer to",),
        says=r"(?:secrets|configmaps) \\?\"[^\"\\\n]{1,253}\\?\" is forbidden", source=ENVIRONMENT),
    Rule("config-cache", CONFIG, YES, YES,
        ("the kubelet has no answer yet from the API about objects that {who} needs",),
        ("wait; if it lasts, check the node's connection to the API server",),
        says=r"failed to sync (?:secret|configmap) cache|services have not yet been read|timed out waiting for the condition",
        source=ENVIRONMENT),
    Rule("config-host-ip", CONFIG, PERHAPS, YES,
        ("the node has no address yet, which {who} needs (status.hostIP in its env)",),
        ("wait; if it lasts, see why (`kubectl get nodes -o wide`): the cloud provider sets it, or the kubelet's --node-ip",),
        says=r"host IP unknown", source="pkg/util/node: GetNodeHostIPs, by the kubelet's podFieldSelectorRuntimeValue (1.25 to 1.36)"),
    Rule("config-volume", CONFIG, PERHAPS, YES,
        ("volume {volume} is not mounted for {who} yet",),
        ("wait; if it lasts, see the Events for FailedMount, and restart the kubelet: it may have lost the volume at its own restart",),
        says=r"cannot find volume \\?\"(?P<volume>[^\"\\\n]{1,253})\\?\" to mount", source=MOUNTS),
    Rule("config-subpath", CONFIG, PERHAPS, PERHAPS,
        ("the subPath of volume {volume} cannot be prepared for {who}",),
        ("check that the subPath of volume {volume} exists, is not a link out of it, and that its server answers; then delete the pod",),
        says=r"failed to (?:prepare|create) subPath (?:directory for|for) volumeMount \\?\"(?P<volume>[^\"\\\n]{1,253})", source=MOUNTS),
    Rule("security-uid", ANY, NO, NO,
        ("{who} is set to run as uid {uid}, which the constraint forbids: {low} to {high} are allowed",),
        (SECURITY_UID,),
        says=UID_RANGE, source="openshift/apiserver-library-go: SecurityContextConstraints"),
    Rule("security-non-root-name", ANY, NO, NO,
        ("{who} must not run as root (runAsNonRoot), but its image has the user name {user} instead of a number",),
        ("set runAsUser to the uid of {user}, or give the image a numeric USER",),
        says=r"runAsNonRoot and image has non-numeric user \((?P<user>[^)\n]{1,64})\)", source=SECURITY),
    Rule("security-non-root", ANY, NO, NO,
        ("{who} must not run as root (runAsNonRoot), but its image does",),
        ("set runAsUser to a number other than 0, use an image with such a USER, or remove runAsNonRoot",),
        says=r"runAsNonRoot|breaks non-root policy|runAsUser breaks|VerifyNonRootError", source=SECURITY),
    Rule("security-constraint", ANY, NO, NO,
        ("security settings of the node or the cluster forbid the configuration of {who}",),
        ("correct what the message names: a constraint, or a seccomp or AppArmor profile that is missing on this node",),
        says=(r"security context constraint|violates PodSecurity|load(?:ing)? seccomp|seccomp(?: is| not|: | profile| filter)|"
              r"apparmor(?: is| not|: | profile| failed)|apply(?:ing)? apparmor"), source=RUNC),
    Rule("start-sandbox-gone", START, YES, YES,
        ("the pod's sandbox was removed while {who} was created",),
        ("nothing, the kubelet creates another; if it happens again, check the runtime's log on the node",),
        says=(r"namespace path|no running task found|sandbox .{0,200}(?:not found|not running|is not ready)|cannot join network|"
              r"failed to get sandbox"), source=CONTAINERD),
    Rule("start-shim", START, PERHAPS, YES,
        ("the runtime's own process for {who} (the shim) could not be started, or died",),
        (("see the runtime's log on the node (`journalctl -u containerd`): often the node is out of memory or processes, or the runtime "
          "was updated while containers ran; restart it, or drain the node"),),
        says=r"ttrpc: closed|start(?:ing)? shim: |shim (?:disconnected|exited|died)|create TTRPC connection", source=CONTAINERD),
    Rule("start-killed", START, PERHAPS, PERHAPS,
        ("the runtime was killed while it started {who}: most likely its limit of {limit} is too low for that",
         "the runtime was killed while it started {who}: most likely a memory limit is too low for that, or the node was out of memory"),
        (("compare its limit of {limit} with the 20 MiB or so that the start needs; if it has them, see the kernel's log of that time: the "
          "node may have been out of memory"),
         "see the kernel's log of that time for an OOM kill"),
        says=(r"did not terminate successfully: (?:exit status 137|signal: killed)|final child's pid from pipe[^\n]{0,20}EOF|"
              r"bootstrap data to pipe[^\n]{0,40}broken pipe"), sure=Sure.LIKELY, source=RUNC),
    Rule("start-arguments", START, NO, NO, (TOO_LONG,), (SHORTEN,), says=E2BIG, source=EXECVE),
    Rule("start-user-namespace", START, NO, NO,
        ("a volume of {who} cannot be used in a user namespace: its file system has no ID-mapped mounts",),
        (("set hostUsers: true (or remove it), or use a volume of a file system that has them: not NFS; tmpfs since Linux 6.3, FUSE since "
          "6.12"),),
        says=r"MOUNT_ATTR_IDMAP|idmap|ID-mapped mount|mount_setattr", source=RUNC),
    Rule("start-driver-old", START, NO, NO,
        ("the image of {who} needs {needs}, and the driver of this node is too old for that",),
        ("update the node's driver, or use an image for an earlier {product}",),
        says=r"unsatisfied condition: (?P<needs>(?P<product>[a-z]{1,20})[ ]{0,2}[<>=]{1,2}[ ]{0,2}[0-9.]{1,12})",
        source="NVIDIA libnvidia-container: nvidia-container-cli"),
    Rule("start-device", START, PERHAPS, PERHAPS,
        ("the device {device} that {who} asks for is not known to the runtime on this node (CDI)",
         "a device of {who} could not be given to it on this node (CDI)"),
        (("check that the driver and its container toolkit or plugin run on this node, and have written their CDI specification "
          "(/var/run/cdi, /etc/cdi)"),),
        says=(r"\A[\s\S]{0,8000}?unresolvable CDI devices? (?P<device>[^\s:,]{1,200})|CDI device|CDI registry|cdi\.k8s\.io|inject CDI"),
        source="cncf-tags/container-device-interface: Cache.InjectDevices, by containerd 1.7, CRI-O 1.23 and newer"),
    Rule("start-runtime-hook", START, PERHAPS, PERHAPS,
        ("a hook of the runtime failed for {who}: the driver's own program ({program})", ("a hook that the node's runtime runs for {who} "
                                                                                          "failed")),
        (("check the driver and its container toolkit on this node (for NVIDIA: `nvidia-smi`, `nvidia-container-cli info`): the pod is not "
          "the cause"),),
        says=r"(?:\A[\s\S]{0,8000}?(?P<program>nvidia-container-[a-z]{3,7})[^\n]{0,200}: |"
             r"running (?:\S{1,40} )?hook|error running hook|hook #?[0-9]|"
             r"executing hook|"
             r"(?:prestart|createRuntime|createContainer|startContainer) hook)", source=RUNC),
    Rule("start-selinux", ANY, NO, PERHAPS,
        ("the node could not set the SELinux label of {who} or of a volume of it",),
        (("check seLinuxOptions, and that the volume's file system takes labels: a network share does not, and must not be mounted with :z "
          "or :Z"),),
        says=r"selinux|lsetxattr|relabel|set ?xattr|setenforce|process label|keycreate|sockcreate", source=RUNC),
    Rule("start-user", START, NO, NO,
        ("the image of {who} has no user {user}", "the image of {who} does not have its user or group"),
        ("correct runAsUser or the image's USER: {user} is not in its /etc/passwd", "correct runAsUser, runAsGroup or the image's USER"),
        says=r"unable to find (?:user|group) (?P<user>[^\s:]{1,100})|no matching entries in passwd|no users found|unknown user",
        source=RUNC),
    Rule("start-command-missing", START, NO, NO,
        ("the image of {who} does not have the command {command}", "the image of {who} does not have its command"),
        ("correct command and args of {who} ({command}): each word is a separate item, and no shell is used unless you name one",
         "correct command and args of {who}, or the image's ENTRYPOINT"),
        says=(EXEC + r"(?:\\{0,8}\": (?:executable file not found|stat |no such file)|` not found)|"
              r"executable file .{0,400}not found|no command specified|(?:chdir|exec) .{0,400}no such file"), source=RUNC),
    Rule("start-device-path", START, PERHAPS, PERHAPS,
        ("the device {device} that {who} asks for is not on this node",),
        ("check the device's driver and plugin on the node; if another node has the device, {replace}",),
        says=r"\bl?stat \\?[\"']?(?P<device>/dev/[^\s\"\\':]{1,250})\\?[\"']?: no such file", source=CONTAINERD),
    Rule("start-volume-path", {At.CONFIG: Category.CREATE_CONFIG, **START}, NO, PERHAPS,
        ("the path {path} that {who} mounts is not on this node", "a path that {who} mounts is not on this node"),
        ("create {path} on the node, correct the hostPath, or set its type to DirectoryOrCreate; if it is a volume's path, {replace}",
         "create the path on the node, or correct the hostPath; if it is a volume's path, {replace}"),
        says=r"(?:failed to (?:stat|mkdir)|\bl?stat|error (?:creating|statting)[^\n]{0,80}|"
             r"mkdir) \\?[\"']?(?P<path>/(?!proc/)[^\s\"\\':]{0,250})\\?[\"']?: (?:no such file|stale|file exists|read-only|transport|"
             r"input/output|host is down|permission denied)|bind source path does not exist: \S{1,250}|stale (?:NFS )?file handle|"
             r"transport endpoint is not connected",
        source=CONTAINERD),
    Rule("start-mount-type", START, NO, NO,
        ("{who} mounts a file where its image has a directory, or a directory where it has a file",),
        ("correct the mountPath or subPath: a key mounted as a file needs subPath, and the path of a file",),
        says=r"not a directory|is a directory|mount a directory onto a file", source=RUNC),
    Rule("start-mount", START, NO, PERHAPS,
        ("a mount of {who} failed",),
        ("check what the message names: a hostPath that does not exist or has another type, or a file mounted on a directory",),
        says=(r"read-only file system|not a (?:shared mount|device node)|is mounted on|error mounting|invalid (?:mount|volume)|"
              r"failed to (?:create )?mount|"
              r"mount(?:ing)? .{0,200}(?:failed|caused)"), source=RUNC),
    Rule("start-limit-too-low", START, NO, NO,
        ("{who} ran out of memory before its first instruction: its limit of {limit} is too low to start it",
         "{who} ran out of memory before its first instruction: its limit is too low to start it"),
        ("raise the limit from {limit}: starting a container needs some MiB",
         "raise the memory limit: starting a container needs some MiB"),
        says=r"container init was OOM-killed|memory limit too low|minimum memory limit|memory limit .{0,60}too low", source=RUNC),
    Rule("start-resource-limit", START, NO, PERHAPS,
        ("the runtime may not set a resource limit (ulimit) of {who}",),
        (("raise the limits of the runtime's own service on the node (LimitNOFILE, LimitMEMLOCK), or correct what asks for more (an NRI "
          "plugin)"),),
        says=r"setting rlimits?", source=RUNC),
    Rule("start-cgroup", START, PERHAPS, PERHAPS,
        ("the runtime could not set up the cgroup of {who}",),
        (("compare the cgroup drivers of the kubelet and the runtime (cgroupDriver, SystemdCgroup), and see `journalctl -u kubelet` for "
          "systemd's error"),),
        says=(r"cgroup|cpu\.cfs_|memory\.limit_in_bytes|sd-bus call|systemd unit|unit \S{1,300} (?:already exists|was already loaded|"
              r"not found)"), source=RUNC),
    Rule("start-permission", DENIED, NO, NO,
        ("uid {uid} of {who} may not execute {command}", "{who} may not execute {command}",
         "uid {uid} of {who} lacks a permission to start", "{who} lacks a permission to start"),
        ("make {command} executable for uid {uid} (chmod +x in the image), or run as a user that may",
         "make {command} executable (chmod +x in the image), or run it by its interpreter",
         "check what the message names: a file's mode or owner, a mount, or a dropped capability"),
        says=r"(?:" + EXEC + r"\\{0,8}\": )?(?:permission denied|operation not permitted|EACCES|EPERM)", source=RUNC),
    Rule("start-wrong-platform", START, NO, NO,
        ("the program of {who} is for another processor, or a script without a #! line",),
        ("build the image for this node's processor, or start the script with #! and its interpreter",),
        says=r"exec format error", source=RUNC),
    Rule("start-name-reserved", START, PERHAPS, YES,
        ("an earlier try to create {who} still has its name: it has not ended, or was left behind",),
        (("wait some minutes; if it lasts, a leftover keeps the name: restart the container runtime on the node, or remove it (`crictl ps "
          "-a`, `crictl rm`)"),),
        says=r"name is reserved|is reserved for|failed to reserve|name \S{1,300} is (?:already )?in use|already in use by",
        source=CONTAINERD),
    Rule("start-slow-runtime", START, YES, YES,
        ("the runtime has not finished the last try: the node or its disks are busy",),
        ("wait; if it lasts, check the node's load and disks; for volumes with many files set fsGroupChangePolicy: OnRootMismatch",),
        says=r"context deadline exceeded|DeadlineExceeded|timed out|retrying requests", source=CONTAINERD),
    Rule("start-no-space", START, PERHAPS, PERHAPS,
        ("the node is out of disk space, inodes or cgroups",),
        ("remove images and logs on the node; `kubectl describe node` shows its pressure conditions",),
        says=r"no space left on device|disk quota exceeded|cannot allocate memory|too many open files", source=RUNC),
    Rule("start-hook", START, PERHAPS, PERHAPS,
        ("a lifecycle hook of {who} failed, so the kubelet ended the container",),
        ("run the hook's command in the container, and fix it; a postStart hook must not depend on what is not up yet",),
        says=r"(?:PostStart|PreStart|PreCreate)Hook|PostStart handler|lifecycle hook",
        source="pkg/kubelet/kuberuntime/kuberuntime_container.go: startContainer, ErrPostStartHook (1.9 to 1.36)"),
    Rule("start", {At.CONFIG: Category.CREATE_CONFIG, At.CREATE: Category.CREATE, At.START: Category.RUN}, PERHAPS, PERHAPS,
        ("{who} cannot be started ({reason})",),
        (f"read the message and the Events: {DESCRIBE}",), sure=Sure.OPEN, source=CONTAINERD),
    Rule("waiting", {At.WAITING: Category.UNKNOWN}, PERHAPS, PERHAPS,
        ("{who} waits for a reason that oomward does not know ({reason})",),
        (f"read the message and the Events: {DESCRIBE}",), sure=Sure.OPEN, source=("pkg/kubelet/kubelet_pods.go: "
                                                                                   "convertToAPIContainerStatuses")),
)  # fmt: skip

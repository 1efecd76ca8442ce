"""Rules for images that cannot be pulled. Messages: kubelet's images, containerd (resolver, authorizer), CRI-O, Docker.

Since 1.32 the kubelet repeats the cause in ImagePullBackOff; before, only ErrImagePull has it.
"""

from __future__ import annotations

from agent.diagnose.case import At
from agent.diagnose.rule import NO, PERHAPS, YES, Rule, Sure
from agent.model.diagnosis import Category

PULL = {At.PULL: Category.ERR_IMAGE_PULL, At.PULL_BACK_OFF: Category.IMAGE_PULL_BACK_OFF}
KUBELET = "pkg/kubelet/images/image_manager.go, types.go (1.25 to 1.36)"
RESOLVER = "containerd core/remotes/docker: resolver, fetcher, authorizer; containers/image for CRI-O"
UNPACK = "containerd core/unpack, core/content; containers/storage for CRI-O"
HOST = r"(?:(?:Get|Head|Post) \"?https?://(?P<host>[a-z0-9.:\[\]-]{1,253})[^\n]{0,400}?)?"

IMAGES: tuple[Rule, ...] = (
    Rule("image-never-pull", PULL, NO, NO,
        ("the image {image} is not on the node, or this pod may not use it, and imagePullPolicy Never forbids pulling it",
         "the image is not on the node, or this pod may not use it, and imagePullPolicy Never forbids pulling it"),
        (("set imagePullPolicy: IfNotPresent, or load {image} onto the node; if it is there (`crictl images`), the pod lacks the "
          "imagePullSecrets with which it was pulled: since 1.35 the kubelet checks that"),
         ("set imagePullPolicy: IfNotPresent, or load it onto the node; if it is there, the pod lacks the imagePullSecrets with which it "
          "was pulled")),
        ("ErrImageNeverPull",), source=KUBELET),
    Rule("image-bad-name", PULL, NO, NO,
        ("{image} is not a valid image name", "the image name is not valid"),
        ("correct the name {image}: registry/path:tag in lower case, and only one tag",
         "correct the image name: registry/path:tag in lower case"),
        says=(r"InvalidImageName|couldn't parse image|invalid reference format|short-name .*(?:cannot prompt|did not resolve)|"
              r"ambiguous list|could not parse reference"), source=KUBELET),
    Rule("image-signature", PULL, NO, NO,
        ("the image's signature is missing, or the node's policy does not accept it",),
        ("sign the image, or correct the node's signature policy",),
        says=r"SignatureValidationFailed|signature .{0,80}(?:required|invalid|not accepted)|rejected by policy", source=KUBELET),
    Rule("image-kubelet-rate", PULL, YES, YES,
        ("the kubelet delayed the pull: too many pulls at once on this node",),
        ("nothing, the kubelet retries; registryPullQPS and registryBurst in its configuration set the rate",),
        says=r"pull QPS exceeded", source=KUBELET),
    Rule("image-rate-limit", PULL, YES, YES,
        ("the registry's pull limit for this node or its user is reached",),
        ("log in with imagePullSecrets (a higher limit), or pull {image} through your own mirror or cache",
         "log in with imagePullSecrets (a higher limit), or pull through your own mirror or cache"),
        says=r"toomanyrequests|too many requests|rate ?limit", source=RESOLVER),
    Rule("image-mirror", PULL, PERHAPS, PERHAPS,
        ("the mirror {mirror}, which this node uses for {registry}, answered {answer}",),
        (("check the mirror {mirror} and this node's configuration of it (for containerd /etc/containerd/certs.d): its address, its login, "
          "and that it has the image"),),
        says=(r"https?://(?P<mirror>[a-z0-9.:\[\]-]{1,253})/v2/\S{1,400}\?ns=(?P<registry>[a-z0-9.:-]{1,253}): "
              r"(?P<answer>[0-9]{3}[a-z ]{0,40})"),
        source=RESOLVER),
    Rule("image-schema", PULL, NO, NO,
        ("{image} has a manifest of the old Docker schema 1, which the node's runtime no longer reads",
         "the image has a manifest of the old Docker schema 1, which the node's runtime no longer reads"),
        (("push {image} again with a current tool (docker, buildah, `skopeo copy`), or use a newer tag: containerd dropped schema 1 in "
          "2.1, CRI-O too"),
         "push the image again with a current tool, or use a newer tag"),
        says=r"schema ?1\b|schemaVersion.{0,10}1\b|manifest\.v1\+(?:json|prettyjws)", source=("containerd core/remotes/docker/schema1 "
                                                                                              "(until 2.0)")),
    Rule("image-not-runnable", PULL, NO, NO,
        (("{image} is not a container image that the node's runtime can run: its media type is of something else (a chart, an artifact) or "
          "unknown"),
         "it is not a container image that the node's runtime can run: its media type is unknown"),
        (("check what was pushed as {image}: a Helm chart, an attestation or an artifact is no image; if it is one, rebuild it without "
          "special compression"),
         "check what was pushed: a Helm chart, an attestation or an artifact is no image"),
        says=r"(?:unsupported|unknown|unexpected|invalid|mismatched) (?:manifest |config |docker v2s2 )?media ?type(?! text/html)|"
             r"mediaType in manifest|"
             r"cncf\.helm|not a container image|"
             r"manifest (?:type|format) .{0,80}(?:not supported|unsupported)|encountered unknown type|no unpack platforms|"
             r"cannot pull an artifact",
        source=UNPACK),
    Rule("image-layer-missing", PULL, PERHAPS, PERHAPS,
        ("the registry has {image}, but not all of its content: a layer or blob is missing there",
         "the registry has the image, but not all of its content: a layer or blob is missing there"),
        ("push {image} again, or correct the mirror or cache that lost its layers; another tag or registry helps meanwhile",
         "push the image again, or correct the mirror or cache that lost its layers"),
        says=r"fetch content descriptor|blob unknown|unknown blob|content digest \S{1,100} not found|"
             r"content at https?://\S{1,300}/blobs/\S{1,200} not found|"
             r"layer .{0,120}(?:does not exist|not found|not known)|/blobs/[^\n]{0,300}(?:404|not found)",
        source=RESOLVER),
    Rule("image-node-configuration", PULL, NO, NO,
        ("this node's configuration of registries and mirrors cannot be read",),
        (("correct it on the node: for containerd /etc/containerd/certs.d/*/hosts.toml (its log has the line), for CRI-O "
          "/etc/containers/registries.conf"),),
        says=r"decode hosts\.toml|parse hosts\.toml|hosts\.toml: |load(?:ing)? registr(?:y|ies) conf|registries\.conf", source=RESOLVER),
    Rule("image-cancelled", PULL, YES, YES,
        ("the runtime gave up the pull: it made no progress for too long",),
        (("see whether the registry or the node's disk is slow for {image}; the time is image_pull_progress_timeout of containerd (5 min), "
          "pull_progress_timeout of CRI-O (10 s)"),
         "see whether the registry or the node's disk is slow; the runtime's configuration sets the time"),
        says=r"context canceled", sure=Sure.LIKELY,
        source="containerd internal/cri/server/images: pullProgressReporter; CRI-O server: pullImage"),
    Rule("image-disk", PULL, PERHAPS, PERHAPS,
        ("the node has no disk space for the image",),
        ("remove images on the node, or give it more disk; `kubectl describe node` shows DiskPressure",),
        says=r"no space left on device|disk quota exceeded", source=UNPACK),
    Rule("image-slow-disk", PULL, YES, YES,
        ("{image} could not be unpacked in time: this node's disk is slow or busy",
         "the image could not be unpacked in time: this node's disk is slow or busy"),
        ("check the node's disk (iowait, pressure in /proc/pressure/io); serializeImagePulls or a smaller image lowers the load",),
        says=r"(?:extract|unpack|snapshot)[^\n]{0,200}context deadline exceeded", sure=Sure.LIKELY, source=UNPACK),
    Rule("image-damaged", PULL, PERHAPS, PERHAPS,
        ("the content of {image} did not arrive whole, or could not be unpacked on the node", ("the image's content did not arrive whole, "
                                                                                               "or could not be unpacked on the node")),
        (("see whether other nodes can pull it: if not, push {image} again; if so, remove what this node has of it (`crictl rmi`), and "
          "check its disk and proxy"),
         ("see whether other nodes can pull it: if not, push it again; if so, remove what this node has of it (`crictl rmi`), and check "
          "its disk and proxy")),
        says=r"failed (?:size validation|commit on ref)|unexpected commit digest|digest (?:mismatch|verification)|checksum|"
             r"filesystem layer verification failed|"
             r"failed to (?:extract|register|unpack|apply) layer|failed to prepare extraction|archive/tar|unexpected EOF[^\n]{0,40}extract|"
             r"target snapshot|error processing tar file|ApplyLayer|applying layer",
        source=UNPACK),
    Rule("image-platform", PULL, NO, NO,
        ("the image has no variant for this node's processor or operating system",),
        ("build {image} for the node's platform too, or keep the pod off such nodes with a nodeSelector on kubernetes.io/arch",
         "build the image for the node's platform too, or keep the pod off such nodes with a nodeSelector on kubernetes.io/arch"),
        says=(r"no match(?:ing manifest)? for (?:platform|linux/|windows/)|no image found in (?:manifest list|image index)|"
              r"does not match the specified platform"), source=RESOLVER),
    Rule("image-no-registry", PULL, PERHAPS, PERHAPS,
        ("the answer is not from a registry, but a proxy or login page",),
        ("check the node's proxy and the mirror configured for this registry",),
        says=r"unexpected media type text/html|invalid character '<' looking for", source=RESOLVER),
    Rule("image-login-expired", PULL, NO, NO,
        ("the login with which this node asks the registry has expired",),
        (("renew it: the imagePullSecret is older than its token lives (12 hours for ECR); the kubelet's credential provider for the "
          "registry renews it by itself"),),
        says=r"token (?:has|is) expired|expired token|credentials? (?:have|has|are) expired", source=RESOLVER),
    Rule("image-server-error", PULL, YES, YES,
        ("the registry at {host} answered {answer}", "the registry, or its token server, answered {answer}",
         "the registry answered with an error of its own"),
        ("wait; if it lasts, see the status of {host}, or of the mirror or proxy before it",
         "wait; if it lasts, see the registry's status, or that of the mirror or proxy before it"),
        says=(r"(?:(?:from host |https?://)(?P<host>[a-z0-9.:-]{1,253})[^\n]{0,300})?\b"
              r"(?P<answer>5[0-9][0-9] (?:Internal Server Error|Bad Gateway|Service (?:Temporarily )?Unavailable|Gateway Time-?out))"),
        source=RESOLVER),
    Rule("image-unauthorised", PULL, NO, NO,
        ("the registry requires a login with access to {image}, or has no such image",
         "the registry requires a login with access to the image, or has no such image"),
        (("check the name {image}, and that the imagePullSecrets of the pod or its service account exist and are valid for this registry; "
          "that other pods on the node use the image does not help: since 1.35 the kubelet checks each pod's credentials"),
         "check the name, and that the imagePullSecrets of the pod or its service account exist and are valid for this registry"),
        says=(r"unauthori[sz]ed|authentication required|authorization failed|insufficient_scope|pull access denied|"
              r"access .{0,40}denied|denied: |failed to authorize|no basic auth credentials|forbidden|invalid username/password|"
              r"failed to fetch (?:anonymous|oauth) token(?![^\n]*(?: 5[0-9][0-9] |timeout|dial tcp|EOF))"), source=RESOLVER),
    Rule("image-not-found", PULL, NO, NO,
        ("the registry has no image {image}", "the registry has no such image"),
        ("check the name and tag of {image}, and that it was pushed", "check the image's name and tag, and that it was pushed"),
        says=r"not found|manifest unknown|name unknown|does not exist|no such image", source=RESOLVER),
    Rule("image-plain-http", PULL, NO, NO,
        ("the registry speaks HTTP, and this node's runtime expects HTTPS",),
        (("give the registry a certificate, or configure it as plain HTTP on each node: for containerd in certs.d (server = "
          "\"http://…\"), for CRI-O in registries.conf (insecure = true)"),),
        says=r"HTTP response to HTTPS client", source=RESOLVER),
    Rule("image-tls", PULL, NO, NO,
        ("the node does not accept the registry's certificate, or the registry has none",),
        ("make the runtime on the node trust the registry's CA, or correct the registry's certificate",),
        says=r"x509:|certificate (?:signed by|has expired|is not valid|verify)|tls: ", source=RESOLVER),
    Rule("image-unreachable", PULL, YES, YES,
        ("the registry at {host} is not reachable from this node", "the registry is not reachable from this node"),
        ("check from the node that {host} resolves, that network and proxy allow the connection, and that the registry is up",
         "check from the node that the registry's name resolves, that network and proxy allow the connection, and that the registry is up"),
        says=(HOST + r"(?:dial tcp|no such host|i/o timeout|connection (?:refused|reset)|handshake timeout|network is unreachable|"
              r"no route to host|server misbehaving|context deadline exceeded|Client\.Timeout|request canceled|"
              r"unexpected EOF|: EOF|proxyconnect|registry is unavailable|RegistryUnavailable)"), source=RESOLVER),
    Rule("image-inspect", PULL, PERHAPS, PERHAPS,
        ("the runtime could not read its copy of the image",),
        ("remove the image from the node (`crictl rmi {image_name}`) to have it pulled again",
         "remove the image from the node to have it pulled again"),
        ("ImageInspectError",), source=KUBELET),
    Rule("image", PULL, PERHAPS, PERHAPS,
        ("the image {image} cannot be pulled; the status does not say why", "the image cannot be pulled; the status does not say why"),
        ("see the Events (`kubectl describe pod -n {namespace} {pod}`): the last `Failed to pull image` has the cause",),
        sure=Sure.OPEN, source="pkg/kubelet/images: ErrImagePullBackOff, without the cause before 1.32"),
)  # fmt: skip

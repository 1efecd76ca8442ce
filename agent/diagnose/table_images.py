"""Rules for images that can't be had. Wording: kubelet's images, containerd (resolver, authorizer), CRI-O (containers/image), Docker.

Since 1.32 the kubelet repeats the cause in ImagePullBackOff; before that only ErrImagePull has it, and the back-off says none.
"""

from __future__ import annotations

from agent.diagnose.case import At
from agent.diagnose.rule import Rule, says
from agent.model.diagnosis import Answer, Category

YES, NO, PERHAPS = Answer.YES, Answer.NO, Answer.PERHAPS
PULL = {At.PULL: Category.ERR_IMAGE_PULL, At.PULL_BACK_OFF: Category.IMAGE_PULL_BACK_OFF}
HOST = r"(?:(?:Get|Head|Post) \"?https?://(?P<host>[a-z0-9.:\[\]-]{1,253})[^\n]{0,400}?)?"

IMAGES: tuple[Rule, ...] = (
    Rule(
        "image-never-pull", PULL, NO, NO,
        ("the image {image} is not on the node, and imagePullPolicy Never forbids to pull it",
         "the image is not on the node, and imagePullPolicy Never forbids to pull it"),
        ("set imagePullPolicy: IfNotPresent, or load {image} onto the node", "set imagePullPolicy: IfNotPresent, or load it onto the node"),
        ("ErrImageNeverPull",),
    ),
    Rule(
        "image-bad-name", PULL, NO, NO,
        ("{image} is no name that an image can have", "the image has no name that an image can have"),
        ("mend the name {image}: registry/path:tag in lower case, and only one tag",
         "mend the image's name: registry/path:tag in lower case"),
        says=says(r"InvalidImageName|couldn't parse image|invalid reference format|short-name .*(?:cannot prompt|did not resolve)|"
                  r"ambiguous list|could not parse reference"),
    ),
    Rule(
        "image-signature", PULL, NO, NO,
        ("the image's signature is missing or not one that the node's policy accepts",),
        ("sign the image, or mend the node's signature policy",),
        says=says(r"SignatureValidationFailed|signature .{0,80}(?:required|invalid|not accepted)|rejected by policy"),
    ),
    Rule(
        "image-kubelet-rate", PULL, YES, YES,
        ("the kubelet itself held the pull back: too many at once on this node",),
        ("nothing, it pulls by itself; registryPullQPS and registryBurst in the kubelet's configuration set the rate",),
        says=says(r"pull QPS exceeded"),
    ),
    Rule(
        "image-rate-limit", PULL, YES, YES,
        ("the registry gives this node, or whom it logs in as, no more pulls for now",),
        ("log in with imagePullSecrets (a higher limit), or pull {image} through a mirror or cache of your own",
         "log in with imagePullSecrets (a higher limit), or pull through a mirror or cache of your own"),
        says=says(r"toomanyrequests|too many requests|rate ?limit"),
    ),
    Rule(
        "image-platform", PULL, NO, NO,
        ("the image has no variant for this node's processor or system",),
        ("build {image} for the node's platform too, or keep the pod off such nodes with a nodeSelector on kubernetes.io/arch",
         "build the image for the node's platform too, or keep the pod off such nodes with a nodeSelector on kubernetes.io/arch"),
        says=says(r"no match(?:ing manifest)? for (?:platform|linux/|windows/)|no image found in (?:manifest list|image index)|"
                  r"does not match the specified platform"),
    ),
    Rule(
        "image-no-registry", PULL, PERHAPS, PERHAPS,
        ("what answered is no registry: a proxy's or a login page came instead",),
        ("look at the node's proxy and at the mirror configured for this registry",),
        says=says(r"unexpected media type text/html|invalid character '<' looking for"),
    ),
    Rule(
        "image-unauthorised", PULL, NO, NO,
        ("the registry gives {image} to nobody who isn't logged in as one who may, or has none of that name",
         "the registry gives the image to nobody who isn't logged in as one who may, or has none of that name"),
        ("check the name {image}, and that the pod's imagePullSecrets (or its service account's) are there, fresh, and for that registry",
         "check the name, and that the pod's imagePullSecrets (or its service account's) are there, fresh, and for that registry"),
        says=says(r"unauthori[sz]ed|authentication required|authorization failed|insufficient_scope|pull access denied|"
                  r"access .{0,40}denied|denied: |failed to authorize|no basic auth credentials|forbidden|invalid username/password|"
                  r"failed to fetch (?:anonymous|oauth) token"),
    ),
    Rule(
        "image-not-found", PULL, NO, NO,
        ("the registry has no image {image}", "the registry has no such image"),
        ("check the name and tag of {image}, and that it was pushed", "check the image's name and tag, and that it was pushed"),
        says=says(r"not found|manifest unknown|name unknown|does not exist|no such image"),
    ),
    Rule(
        "image-tls", PULL, NO, NO,
        ("the registry's certificate, or its lack of one, is not accepted by the node",),
        ("have the runtime on the node trust the registry's CA, or mend the registry's certificate",),
        says=says(r"x509:|certificate (?:signed by|has expired|is not valid|verify)|tls: |HTTP response to HTTPS client"),
    ),
    Rule(
        "image-disk", PULL, PERHAPS, PERHAPS,
        ("the node has no room left for the image",),
        ("clear images on the node or give it more disk; `kubectl describe node` shows DiskPressure",),
        says=says(r"no space left on device|disk quota exceeded"),
    ),
    Rule(
        "image-unreachable", PULL, YES, YES,
        ("the registry at {host} can't be reached from this node", "the registry can't be reached from this node"),
        ("check from the node: the name {host} resolves, the network and proxy let it through, the registry is up",
         "check from the node: the registry's name resolves, the network and proxy let it through, the registry is up"),
        says=says(HOST + r"(?:dial tcp|no such host|i/o timeout|connection (?:refused|reset)|handshake timeout|network is unreachable|"
                  r"no route to host|server misbehaving|context deadline exceeded|Client\.Timeout|request canceled|"
                  r"unexpected EOF|: EOF|proxyconnect|registry is unavailable|RegistryUnavailable|internal server error|bad gateway|"
                  r"service unavailable|gateway time-?out)"),
    ),
    Rule(
        "image-inspect", PULL, PERHAPS, PERHAPS,
        ("the runtime could not look at the image that it has",),
        ("remove the image from the node (`crictl rmi {image}`) to have it pulled anew",
         "remove the image from the node to have it pulled anew"),
        ("ImageInspectError",),
    ),
    Rule(
        "image", PULL, PERHAPS, PERHAPS,
        ("the image {image} can't be had; the status doesn't say why", "the image can't be had; the status doesn't say why"),
        ("see its Events (`kubectl describe pod -n {namespace} {pod}`): the last `Failed to pull image` has the cause",),
    ),
)  # fmt: skip

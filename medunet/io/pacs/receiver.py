"""Instances that a PACS sends us: over its own association after a C-MOVE, or over ours in a C-GET."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pydicom import uid as uids
from pynetdicom import AllStoragePresentationContexts, build_role, evt, sop_class
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.presentation import PresentationContext

from medunet.errors import ConfigError, StudyError
from medunet.io.pacs.address import PacsAddress
from medunet.io.pacs.associations import context, entity, guards, server_tls
from medunet.io.pacs.landing import Landing

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700  # PS3.4 Table B.2-1
PREAMBLE = b"\0" * 128 + b"DICM"
# Deflated is missing on purpose: a small message of it may hold gigabytes.
SYNTAXES = (
    uids.ExplicitVRLittleEndian,
    uids.ImplicitVRLittleEndian,
    uids.ExplicitVRBigEndian,
    uids.JPEGLosslessSV1,
    uids.JPEGLossless,
    uids.JPEGLSLossless,
    uids.JPEGLSNearLossless,
    uids.JPEG2000Lossless,
    uids.JPEG2000,
    uids.RLELossless,
    uids.JPEGBaseline8Bit,
    uids.JPEGExtended12Bit,
    uids.HTJ2KLossless,
    uids.HTJ2KLosslessRPCL,
    uids.HTJ2K,
)
# What a C-GET of a modality may bring; an association has room for 128 pairs of class and syntax.
CLASSES = {
    "CT": ("CTImageStorage", "EnhancedCTImageStorage", "LegacyConvertedEnhancedCTImageStorage"),
    "MR": ("MRImageStorage", "EnhancedMRImageStorage", "LegacyConvertedEnhancedMRImageStorage"),
    "PT": ("PositronEmissionTomographyImageStorage", "EnhancedPETImageStorage"),
    "NM": ("NuclearMedicineImageStorage",),
    "CR": ("ComputedRadiographyImageStorage", "DigitalXRayImageStorageForPresentation"),
    "DX": ("DigitalXRayImageStorageForPresentation", "DigitalXRayImageStorageForProcessing"),
    "MG": (
        "DigitalMammographyXRayImageStorageForPresentation",
        "DigitalMammographyXRayImageStorageForProcessing",
        "BreastTomosynthesisImageStorage",
    ),
    "XA": ("XRayAngiographicImageStorage", "EnhancedXAImageStorage"),
    "US": ("UltrasoundImageStorage", "UltrasoundMultiFrameImageStorage"),
    "OP": ("OphthalmicPhotography8BitImageStorage", "OphthalmicPhotography16BitImageStorage"),
    "SEG": ("SegmentationStorage", "LabelMapSegmentationStorage"),
    "RTSTRUCT": ("RTStructureSetStorage",),
    "SR": ("Comprehensive3DSRStorage", "ComprehensiveSRStorage", "EnhancedSRStorage"),
}


def storage_contexts(modality: str) -> list[PresentationContext]:
    """Return what to propose for a C-GET: each class with each syntax alone, so that nothing is converted."""
    names = CLASSES.get(modality, ())
    return [context(str(getattr(sop_class, name)), syntax) for name in names for syntax in SYNTAXES]


def storage_roles(modality: str) -> list[Any]:
    """Return that we receive the classes of a modality over an association that we opened."""
    return [build_role(getattr(sop_class, name), scp_role=True) for name in CLASSES.get(modality, ())]


def on_store(landing: Landing) -> tuple[Any, ...]:
    """Return the handler that lets what is sent land byte for byte, after the file meta that DIMSE omits."""

    def handle(event: evt.Event) -> int:
        request: Any = event.request
        content = request.DataSet.getbuffer()
        try:
            landing.add(
                [PREAMBLE, encode_file_meta(event.file_meta), content], str(request.AffectedSOPInstanceUID)
            )
        except StudyError:
            event.assoc.abort()  # a limit was passed, landing.refusal says which
            event.assoc.dimse.msg_queue.put((None, None))  # wakes who waits for the rest of a C-GET
            return OUT_OF_RESOURCES
        except OSError:
            return OUT_OF_RESOURCES
        finally:
            content.release()
        return SUCCESS

    return (evt.EVT_C_STORE, handle)


@contextmanager
def receiving(address: PacsAddress, landing: Landing) -> Iterator[None]:
    """Listen at `address.receive` while the PACS sends; only its AE title may call, and only ours.

    An AE title is no proof of who calls: beyond a trusted network use TLS, where the certificate counts.
    """
    ours = entity(address)
    ours.require_called_aet = True
    ours.require_calling_aet = [address.its_title]
    ours.supported_contexts = [
        context(str(c.abstract_syntax), *SYNTAXES) for c in AllStoragePresentationContexts
    ]
    try:
        server: Any = ours.start_server(
            address.receive,
            block=False,
            ssl_context=server_tls(address),
            evt_handlers=[*guards(landing.limits, landing.excess), on_store(landing)],
        )
    except OSError as error:
        host, port = address.receive
        raise ConfigError(
            f"{address}: cannot listen at {host}:{port} ({error.strerror}); another fetch may run: wait, "
            "or give receive=HOST:PORT with an AE title of its own"
        ) from None
    try:
        yield
    finally:
        server.shutdown()
        for caller in server.active_associations:
            caller.abort()

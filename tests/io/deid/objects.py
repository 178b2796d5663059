"""CT, MR, enhanced, SEG and RTSTRUCT objects of one patient, with identity planted in every kind of place."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

ROOT = "1.2.276.0.7230010.3.99"  # as a hospital's own root
STUDY, PLACE = f"{ROOT}.20200131.1", f"{ROOT}.20200131.7"
SERIES = {
    kind: f"{ROOT}.20200131.2.{i}" for i, kind in enumerate(("ct", "mr", "enhanced", "seg", "rtstruct"))
}
CLASSES = {
    "ct": "1.2.840.10008.5.1.4.1.1.2",
    "mr": "1.2.840.10008.5.1.4.1.1.4",
    "enhanced": "1.2.840.10008.5.1.4.1.1.2.1",
    "seg": "1.2.840.10008.5.1.4.1.1.66.4",
    "rtstruct": "1.2.840.10008.5.1.4.1.1.481.3",
}
MODALITY = {"ct": "CT", "mr": "MR", "enhanced": "CT", "seg": "SEG", "rtstruct": "RTSTRUCT"}
KINDS = tuple(CLASSES)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PLANTED = {  # attribute: value; each word below that could name someone is searched for in the output
    "PatientName": "Zweistein^Albertine^Quirina^Dr=李白^小龍=ツヴァイ^アルベ",
    "PatientID": "KH-7730921",
    "OtherPatientIDs": ["ALT-88231", "ALT-88232"],
    "PatientBirthDate": "19470311",
    "PatientBirthTime": "031415",
    "PatientBirthName": "Mondschein^Albertine",
    "PatientMotherBirthName": "Sternberger^Rosalinde",
    "PatientAddress": "Lindenallee 12, 10117 Berlin",
    "PatientTelephoneNumbers": "+49 30 5550199",
    "PatientBirthDateInAlternativeCalendar": "Showa 22 March",
    "MedicalRecordLocator": "MRL-99120",
    "MilitaryRank": "Obergefreite",
    "Occupation": "Brückenwärterin",
    "PatientComments": "Schwester von Zweistein, Tel 030-5550198",
    "AdditionalPatientHistory": "Sturz vom Apfelbaum\r\nin Dorfhausen",
    "AccessionNumber": "ACC20031977",
    "InstitutionName": "Waldklinik Nordhagen",
    "InstitutionAddress": "Waldweg 7, Nordhagen",
    "InstitutionalDepartmentName": "Station Ahornblatt",
    "ReferringPhysicianName": "Doktorow^Iwan",
    "ReferringPhysicianTelephoneNumbers": "0049305550177",
    "PerformingPhysicianName": "Operatix^Cleo",
    "OperatorsName": ["Schrauber^Karl", "Zangenberg^Eva"],
    "PhysiciansOfRecord": "Aktenmann^Otto",
    "NameOfPhysiciansReadingStudy": "Leserin^Berta",
    "RequestingPhysician": "Wunschmann^Paul",
    "EvaluatorName": "Prüferin^Gerda",  # a name that the table of PS3.15 does not have
    "StationName": "CTRAUM17",
    "DeviceSerialNumber": "SN-448812",
    "GantryID": "GANTRY-WALD-2",
    "StudyID": "STID-5511",
    "StudyDescription": "Kontrolle Zweistein",
    "SeriesDescription": "Thorax Nordhagen 3mm",
    "ProtocolName": "Nordhagen Spezial",
    "ImageComments": "Arm von Albertine gehalten",
    "AdmissionID": "ADM-66120",
    "CurrentPatientLocation": "Zimmer 412b",
    "RetrieveURL": "https://pacs.waldklinik.example/4711",
    "RetrieveAETitle": "WALDPACS",
    "TransformDescription": "geprüft durch Zangenberg",  # free text that the table does not have
    "TextValue": "Befund an Doktorow",
    "ContentLabel": "KAEPTN_UFER",
    "StudyDate": "20200131",
    "SeriesDate": "20200201",
    "AcquisitionDate": "2020.02.03",
    "AcquisitionDateTime": "20200203101112.123456+0100",
    "PerformedProcedureStepStartDate": "20200204",
    "IrradiationEventUID": f"{ROOT}.20200131.55",
    "DeviceUID": f"{ROOT}.4711",
}
SEQUENCES = (  # name of the sequence, of the sequence in it, and what the innermost item holds
    (
        "RequestAttributesSequence",
        "RequestedProcedureCodeSequence",
        {"CodeMeaning": "CT Nordhagen Sondertarif"},
    ),
    ("OtherPatientIDsSequence", None, {"PatientID": "SEQ-55123", "IssuerOfPatientID": "Wiesental"}),
    ("OriginalAttributesSequence", "ModifiedAttributesSequence", {"PatientName": "Altname^Frieda"}),
    (
        "ContributingEquipmentSequence",
        None,
        {"InstitutionName": "Seeklinik", "ContactDisplayName": "Herr Ufer"},
    ),
    ("ReferencedSeriesSequence", "ReferencedInstanceSequence", {"ReferencedSOPInstanceUID": f"{ROOT}.888"}),
)
NEEDLES = _words(
    f"""Zweistein Albertine Quirina 李白 小龍 ツヴァイ アルベ KH-7730921 7730921 ALT-88231 ALT-88232 19470311
    Mondschein Sternberger Rosalinde Lindenallee 5550199 Showa MRL-99120 Obergefreite Brückenwärterin 20200131
    Schwester 5550198 Apfelbaum Dorfhausen ACC20031977 Waldklinik Waldweg Ahornblatt Doktorow 5550177 Ufer
    Operatix Schrauber Zangenberg Aktenmann Leserin Wunschmann Prüferin CTRAUM17 SN-448812 GANTRY-WALD
    STID-5511 Nordhagen ADM-66120 412b 4711 WALDPACS Sondertarif SEQ-55123 Wiesental Altname Frieda Seeklinik
    PRIVATTEXT GEHEIM PrivPerson OVERLAYTEXT OVLABEL KURVENTEXT KLINIKAE SENDERAE METAPRIV PREAMBLETEXT
    NACHSPANN PIXELSCHWANZ 20200201 2020.02.03 20200203 20200204 {ROOT}"""
)


def build(kind: str, index: int = 0, planted: bool = True) -> Dataset:
    """Return one object of the study; two slices of a scan differ by their index."""
    dataset = _head(kind, index)
    if kind == "rtstruct":
        _contours(dataset)
    else:
        _pixels(dataset, kind, index)
    if kind == "seg":
        _segments(dataset)
    if planted:
        plant(dataset)
    return dataset


def instance_uid(kind: str, index: int = 0) -> str:
    return f"{SERIES[kind]}.{index + 1}"


def written(path: Path, dataset: Dataset) -> Path:
    """Write with the preamble and meta as they are, as sloppy devices do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True, overwrite=True)
    path.write_bytes(buffer.getvalue())
    return path


def plant(dataset: Dataset) -> None:
    """Put identity into every place that the lists name, and into private, overlay, curve and file meta."""
    for keyword, value in PLANTED.items():
        setattr(dataset, keyword, value)
    for outer, inner, values in SEQUENCES:
        item = Dataset()
        for keyword, value in values.items():
            setattr(item, keyword, value)
        if inner is not None:
            middle = Dataset()
            setattr(middle, inner, [item])
            item = middle
        setattr(dataset, outer, [*(dataset.get(outer) or []), item])
    block = dataset.private_block(0x0029, "WALD CSA", create=True)
    block.add_new(0x01, "LO", "PRIVATTEXT Zweistein")
    block.add_new(0x02, "PN", "PrivPerson^Karla")
    block.add_new(0x03, "OB", b"\x01\x02GEHEIMNISVOLL Zweistein\0")
    nested = Dataset()
    nested.PatientName = "Altname^Frieda"
    block.add_new(0x04, "SQ", [nested])
    dataset.add_new(0x60000010, "US", 4)
    dataset.add_new(0x60000022, "LO", "OVERLAYTEXT")
    dataset.add_new(0x60001500, "LO", "OVLABEL")
    dataset.add_new(0x60003000, "OW", b"OVERLAYTEXTDATA!")
    dataset.add_new(0x50000022, "LO", "KURVENTEXT")
    dataset.add_new(0xFFFCFFFC, "OB", b"NACHSPANN ZWEISTEIN!")
    if "PixelData" in dataset:
        dataset["PixelData"].value = dataset.PixelData + b"PIXELSCHWANZ"
    dataset.file_meta.SourceApplicationEntityTitle = "KLINIKAE"
    dataset.file_meta.SendingApplicationEntityTitle = "SENDERAE"
    dataset.file_meta.PrivateInformationCreatorUID = f"{ROOT}.5"
    dataset.file_meta.PrivateInformation = b"METAPRIVATE "
    dataset.preamble = b"PREAMBLETEXT Zweistein".ljust(128, b"\0")


def forms(text: str) -> set[bytes]:
    """Return the bytes by which a text could be found, in lower case."""
    coded = {text.encode(codec, errors="ignore") for codec in ("utf-8", "latin-1", "iso2022_jp", "utf-16-le")}
    return {form.lower() for form in coded if len(form) > 3}


def _head(kind: str, index: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = CLASSES[kind]
    dataset.SOPInstanceUID = instance_uid(kind, index)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES[kind]
    dataset.FrameOfReferenceUID = PLACE
    dataset.Modality, dataset.Manufacturer = MODALITY[kind], "SIEMENS"
    dataset.PatientID, dataset.PatientName = PLANTED["PatientID"], PLANTED["PatientName"]
    dataset.StudyDate, dataset.StudyTime = "20200131", "101500"
    dataset.SeriesNumber, dataset.InstanceNumber = 3, index + 1
    dataset.preamble = b"\0" * 128
    return dataset


def _pixels(dataset: Dataset, kind: str, index: int) -> None:
    frames = 2 if kind in ("enhanced", "seg") else 1
    dataset.ImageType = ["DERIVED" if kind == "seg" else "ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.BodyPartExamined = "ABDOMEN"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = 6, 7
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    values = np.random.default_rng(index).integers(0, 4000, (frames, 6, 7), dtype=np.uint16)
    dataset.PixelData = values.tobytes()
    if frames == 2:
        dataset.NumberOfFrames = 2
        dataset.PerFrameFunctionalGroupsSequence = [_frame(kind, frame) for frame in range(2)]
    else:
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 3 * index], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing, dataset.SliceThickness = [0.8, 0.8], 3


def _frame(kind: str, frame: int) -> Dataset:
    place, content, source = Dataset(), Dataset(), Dataset()
    place.ImagePositionPatient = [0, 0, 3 * frame]
    content.FrameAcquisitionDateTime = f"2020020310111{frame}"
    content.FrameComments = "Zweistein atmet"
    source.ReferencedSOPClassUID = CLASSES["ct"]
    source.ReferencedSOPInstanceUID = instance_uid("ct", frame)
    derived, item = Dataset(), Dataset()
    derived.SourceImageSequence = [source]
    item.PlanePositionSequence, item.FrameContentSequence = [place], [content]
    item.DerivationImageSequence = [derived]
    return item


def _segments(dataset: Dataset) -> None:
    series, segment, local = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = SERIES["ct"]
    series.ReferencedInstanceSequence = [_reference("ct", index) for index in range(2)]
    dataset.ReferencedSeriesSequence = [series]
    segment.SegmentNumber, segment.SegmentLabel = 1, "Liver"
    segment.SegmentedPropertyTypeCodeSequence = [coded("10200004", "SCT", "Liver")]
    local.SegmentNumber, local.SegmentLabel = 2, "ROI Dr. Doktorow"
    local.SegmentedPropertyTypeCodeSequence = [coded("1", "99WALD", "Leber Nordhagen")]
    dataset.SegmentSequence = [segment, local]
    dataset.ContentCreatorName = "Doktorow^Iwan"


def _contours(dataset: Dataset) -> None:
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = SERIES["ct"]
    series.ContourImageSequence = [_reference("ct", index) for index in range(2)]
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = "1.2.840.10008.3.1.2.3.1", STUDY
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = PLACE, [study]
    dataset.ReferencedFrameOfReferenceSequence = [frame]
    roi, ring, contour = Dataset(), Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = 1, "Liver", PLACE
    roi.ROIDescription = "gezeichnet von Operatix"
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", 3
    contour.ContourData = [0, 0, 0, 1.5, 0, 0, 0, 1.25, 0]
    contour.ContourImageSequence = [_reference("ct", 0)]
    ring.ReferencedROINumber, ring.ContourSequence = 1, [contour]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [roi], [ring]
    dataset.StructureSetLabel, dataset.StructureSetDate = "Zweistein1", "20200205"


def _reference(kind: str, index: int) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = CLASSES[kind]
    item.ReferencedSOPInstanceUID = instance_uid(kind, index)
    return item


def coded(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def read(path: Path) -> Dataset:
    return pydicom.dcmread(path)

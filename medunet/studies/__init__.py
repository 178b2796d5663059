"""Batch inference on studies: one ledger holds the truth, workers read, predict and write.

    scan ─▶ ledger ─▶ worker: read (limited child process) │ predict │ write ─▶ folder of results

Engines only start workers. Nothing here imports torch before a model is loaded.
"""

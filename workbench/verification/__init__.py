"""Whether results and reports are what they claim: answers scored anew, tables and sentences made anew, files compared
with their checksums."""

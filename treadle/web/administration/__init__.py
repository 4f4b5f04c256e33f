"""The installation over HTTP, for those who administer it: ``/api/v2/admin``; and the audit log."""

"""Reports for readers: verdict, recommendation, report page and progress of a running grid."""

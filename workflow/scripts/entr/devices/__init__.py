"""The device that a job runs on, and the lock that keeps other jobs off it."""

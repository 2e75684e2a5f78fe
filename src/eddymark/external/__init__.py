"""Fields that come from elsewhere: reading what others wrote, checking it, and writing what others read."""

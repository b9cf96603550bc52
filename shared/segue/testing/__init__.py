"""What tests of every kind use: real servers and engines, and worlds with a virtual clock."""

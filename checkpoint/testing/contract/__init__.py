"""What every store must do, whatever it keeps sessions in: one module for each part of it."""

"""Virtual devices: processes that speak a vendor's wire protocol, with MuJoCo and hidden dynamics behind them."""

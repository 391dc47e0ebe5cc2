package core

// For tests with peers, which package coretest makes.
var (
	SumOver  = sumOver
	Exchange = exchange
)

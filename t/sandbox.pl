#!/usr/bin/perl

# The Chatmaid sandbox as a process of its own.
#
#   t/sandbox.pl --dir DIR [--host ADDRESS] [--port N] [--control N]
#                [--cert good|wrong|foreign]
#                [--settings FILE] [--ready FILE] [--plain] [--orphan]
#                [--receiver]
#
# DIR receives the certificates (its CA is DIR/ca.crt).  With --ready the ports
# are written there as JSON once both accept.  It ends by SIGTERM, and when its
# standard input ends unless --orphan is given: a test that was killed leaves no
# process behind.  With --receiver it is not Chatmaid but who gets its webhooks.

use Mojo::Base -strict, -signatures;
use FindBin;
use lib "$FindBin::RealBin/lib";

use Chatmaid::Sandbox;
use Chatmaid::Sandbox::Receiver;
use Getopt::Long;

my %option = (port => 0, control => 0, cert => 'good');
GetOptions(\%option, qw(dir=s host=s port=i control=i cert=s settings=s ready=s plain orphan receiver))
    or die "usage: see the head of $0\n";
die "--dir is missing\n" unless $option{dir};

my $class = $option{receiver} ? 'Chatmaid::Sandbox::Receiver' : 'Chatmaid::Sandbox';
$class->run(%option);
